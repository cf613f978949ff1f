/** The models that are served now, as vLLM lists them. */
import { modelBody } from '../shared/openai/model.ts'
import type { ConnectedBackend } from './tunnel/backend-connection.ts'

type Model = ReturnType<typeof modelBody>

/** Every served model once, in the order of their names. */
export const servedModels = (backends: readonly ConnectedBackend[]): Model[] => {
  const since = new Map<string, number>()
  for (const { models, connectedAtMs } of backends) {
    for (const model of models) {
      since.set(model, Math.min(connectedAtMs, since.get(model) ?? connectedAtMs))
    }
  }
  return [...since]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([model, at]) => modelBody(model, Math.floor(at / 1000)))
}
