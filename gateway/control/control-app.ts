/** The control API of a running gateway: what its own command line asks of it. */
import { Hono, type Context } from 'hono'
import { ApiError, InvalidRequest } from '../../shared/errors.ts'
import type { Log } from '../../shared/log.ts'
import { asApiError, errorResponse } from '../../shared/openai/error.ts'
import { errorFields } from '../error-fields.ts'
import { readBody } from '../read-body.ts'
import type { Admin } from './admin.ts'

const maxBodyBytes = 16 * 1024

/** No credentials: whoever can open the socket owns the data directory. */
export const createControlApp = (admin: Admin, log: Log): Hono => {
  const app = new Hono()

  app.get('/keys', async (c) => c.json(await admin.listKeys()))
  app.post('/keys', async (c) => {
    const { key, secret } = await admin.createKey(await readName(c))
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
    const { backend, token } = await admin.enrollBackend(await readName(c))
    log.info('backend enrolled', { backend: backend.id, name: backend.name })
    return c.json({ backend, token: token.reveal() }, 201)
  })
  app.delete('/backends/:id', async (c) => {
    const backend = await admin.revokeBackend(c.req.param('id'))
    log.info('backend revoked', { backend: backend.id, name: backend.name })
    return c.json(backend)
  })

  app.notFound((c) => errorResponse(new ApiError(404, `there is no ${c.req.method} ${c.req.path}`)))
  app.onError((error) => {
    if (!(error instanceof ApiError)) log.error('control request failed', errorFields(error))
    return errorResponse(asApiError(error))
  })
  return app
}

const readName = async (c: Context): Promise<string> => {
  const body = await readBody(c.req.raw, maxBodyBytes, c.req.raw.signal)
  const value: unknown = JSON.parse(new TextDecoder().decode(body))
  if (typeof value === 'object' && value !== null && 'name' in value) {
    if (typeof value.name === 'string') return value.name
  }
  throw new InvalidRequest('the body must be {"name": "…"}', 'name')
}
