/** The backend's HTTP app: every route on one screen. It is reached through the tunnel only. */
import { Hono } from 'hono'
import { ApiError } from '../shared/errors.ts'
import { asApiError, errorResponse } from '../shared/openai/error.ts'
import type { Log } from '../shared/log.ts'
import type { ServedExchange } from '../shared/tunnel/exchange.ts'
import type { Engine } from './engine/engine.ts'
import { chat } from './routes/chat.ts'
import { completions } from './routes/completions.ts'
import { health } from './routes/health.ts'
import { getModel, listModels } from './routes/models.ts'
import type { LoadedModel } from './served-model.ts'

export type BackendDeps = {
  readonly engine: Engine
  readonly model: LoadedModel
  readonly log: Log
}

export type BackendEnv = {
  /** Absent when the app is asked without a tunnel. */
  Bindings: { readonly exchange?: ServedExchange }
  Variables: { requestId: string }
}

export const createBackendApp = (deps: BackendDeps): Hono<BackendEnv> => {
  const app = new Hono<BackendEnv>()
  app.use(async (c, next) => {
    c.set('requestId', c.env?.exchange?.requestId ?? crypto.randomUUID())
    await next()
  })
  app.get('/health', health(deps))
  app.get('/v1/models', listModels(deps))
  app.get('/v1/models/:id{.+}', getModel(deps))
  app.post('/v1/completions', completions(deps))
  app.post('/v1/chat/completions', chat(deps))
  app.notFound((c) =>
    errorResponse(new ApiError(404, `Unknown route: ${c.req.method} ${c.req.path}.`)),
  )
  app.onError((error, c) => {
    const shown = asApiError(error)
    if (shown.status >= 500) {
      deps.log.error('request failed', { request: c.get('requestId'), reason: error.message })
    }
    return errorResponse(shown)
  })
  return app
}
