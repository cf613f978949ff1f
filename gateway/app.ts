/** The public API: every route, in order, on one screen. */
import { Hono, type Context } from 'hono'
import { ApiError, ModelNotFound } from '../shared/errors.ts'
import { errorResponse } from '../shared/openai/error.ts'
import { modelListBody } from '../shared/openai/model.ts'
import { forward, type ForwardOptions } from './forward.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { authenticate } from './middleware/authenticate.ts'
import { onError } from './middleware/on-error.ts'
import { refuseWhileDraining } from './middleware/refuse-while-draining.ts'
import { requestId } from './middleware/request-id.ts'
import { servedModels } from './models.ts'

export type AppOptions = ForwardOptions & {
  /** Whether the gateway takes no new requests any more. */
  readonly isDraining: () => boolean
}

/** Only the routes listed here reach a backend; all else ends at the gateway. */
export const createApp = (options: AppOptions): Hono<GatewayEnv> => {
  const { registry, db, pepper } = options
  const app = new Hono<GatewayEnv>()

  app.onError(onError(options.log))
  app.use(requestId)
  app.use(refuseWhileDraining(options.isDraining, options.active))

  app.get('/health', (c) => c.json({ status: 'ok', backends: registry.backends().length }))

  app.use('/v1/*', authenticate(db, pepper))
  app.get('/v1/models', (c) => c.json(modelListBody(servedModels(registry.backends()))))
  app.get('/v1/models/:id{.+}', (c) => {
    const id = c.req.param('id')
    const model = servedModels(registry.backends()).find((served) => served.id === id)
    if (!model) throw new ModelNotFound(id)
    return c.json(model)
  })
  app.post('/v1/completions', forward(options))
  app.post('/v1/chat/completions', forward(options))

  for (const path of ['/health', '/v1/models', '/v1/models/*']) app.all(path, onlyBy('GET, HEAD'))
  for (const path of ['/v1/completions', '/v1/chat/completions']) app.all(path, onlyBy('POST'))
  app.notFound((c) =>
    errorResponse(new ApiError(404, `Invalid URL (${c.req.method} ${c.req.path})`)),
  )
  return app
}

/** 405 in OpenAI's words. */
const onlyBy = (allow: string) => (c: Context) => {
  const { method, path } = c.req
  const message = `Not allowed to ${method} on ${path}. (HINT: Perhaps you meant to use ${allow}?)`
  const response = errorResponse(new ApiError(405, message, { code: 'method_not_supported' }))
  response.headers.set('allow', allow)
  return response
}
