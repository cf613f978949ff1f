/** The models that are served now, as vLLM lists them. */
import { createHash } from 'node:crypto'
import type { ConnectedBackend } from './tunnel/registry.ts'

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

/** `root` is the served name as well: a path would tell about the backend's disk. */
const modelBody = (id: string, created: number) => ({
  id,
  object: 'model',
  created,
  owned_by: 'burrow',
  root: id,
  parent: null,
  permission: [
    {
      id: `modelperm-${createHash('sha256').update(id).digest('hex').slice(0, 32)}`,
      object: 'model_permission',
      created,
      allow_create_engine: false,
      allow_sampling: true,
      allow_logprobs: true,
      allow_search_indices: false,
      allow_view: true,
      allow_fine_tuning: false,
      organization: '*',
      group: null,
      is_blocking: false,
    },
  ],
})
