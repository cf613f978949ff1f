/** `GET /v1/models` and `GET /v1/models/{id}`. */
import type { Handler } from 'hono'
import { modelBody, modelListBody } from '../../shared/openai/model.ts'
import type { BackendDeps, BackendEnv } from '../app.ts'
import { requireModel } from '../served-model.ts'

export const listModels =
  ({ model }: BackendDeps): Handler<BackendEnv> =>
  (c) =>
    c.json(modelListBody([modelBody(model.name, model.created)]))

export const getModel =
  ({ model }: BackendDeps): Handler<BackendEnv> =>
  (c) => {
    requireModel(model, c.req.param('id') ?? '')
    return c.json(modelBody(model.name, model.created))
  }
