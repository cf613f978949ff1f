/** The control API of a running gateway: what its own command line asks of it. */
import { Hono, type Context } from 'hono'
import { ApiError, InvalidRequest } from '../../shared/errors.ts'
import type { Log } from '../../shared/log.ts'
import { asApiError, errorResponse } from '../../shared/openai/error.ts'
import { fields } from '../../shared/parse.ts'
import { errorFields } from '../error-fields.ts'
import { readBody } from '../read-body.ts'
import type { Admin } from './admin.ts'
import { grantRoutes } from './grant-routes.ts'

/** 256 model names of 256 characters. */
const maxBodyBytes = 128 * 1024

/** No credentials: whoever can open the socket owns the data directory. */
export const createControlApp = (admin: Admin, log: Log): Hono => {
  const app = new Hono()

  app.get('/keys', async (c) => c.json(await admin.listKeys()))
  app.post('/keys', async (c) => {
    const { key, secret } = await admin.createKey((await readOrder(c)).name)
    log.info('key created', { key: key.id, name: key.name })
    return c.json({ key, secret: secret.reveal() }, 201)
  })
  app.delete('/keys/:id', async (c) => {
    const key = await admin.revokeKey(c.req.param('id'))
    log.info('key revoked', { key: key.id, name: key.name })
    return c.json(key)
  })

  app.get('/backends', async (c) => c.json(await admin.listBackends()))
  app.post('/backends', async (c) => {
    const { name, models } = await readOrder(c)
    const { backend, token } = await admin.enrollBackend(name, models)
    log.info('backend enrolled', { backend: backend.id, name: backend.name })
    return c.json({ backend, token: token.reveal() }, 201)
  })
  app.delete('/backends/:id', async (c) => {
    const backend = await admin.revokeBackend(c.req.param('id'))
    log.info('backend revoked', { backend: backend.id, name: backend.name })
    return c.json(backend)
  })

  app.route('/services', grantRoutes(admin.grants, log))

  app.notFound((c) => errorResponse(new ApiError(404, `there is no ${c.req.method} ${c.req.path}`)))
  app.onError((error) => {
    if (!(error instanceof ApiError)) log.error('control request failed', errorFields(error))
    return errorResponse(asApiError(error))
  })
  return app
}

/** The name of what is to be made and, of a backend, the models that it may serve. */
const readOrder = async (
  c: Context,
): Promise<{ name: string; models: readonly string[] | null }> => {
  const body = await readBody(c.req.raw, maxBodyBytes, c.req.raw.signal)
  const value: unknown = JSON.parse(new TextDecoder().decode(body))
  const { name, models = null } = fields(value, 'the body')
  if (typeof name !== 'string') throw new InvalidRequest('the body must be {"name": "…"}', 'name')
  if (models === null) return { name, models }
  if (Array.isArray(models) && models.every((model) => typeof model === 'string')) {
    return { name, models }
  }
  throw new InvalidRequest('models must be a list of names', 'models')
}
