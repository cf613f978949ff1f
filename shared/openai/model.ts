/** `GET /v1/models`, with the fields that vLLM adds. `root` is the served model name, never a path. */

export type ServedModel = {
  readonly name: string
  /** Unix time in seconds. */
  readonly created: number
  /** Tokens that prompt and answer may have together. */
  readonly maxModelLen: number
}

export const modelBody = (model: ServedModel) => ({
  id: model.name,
  object: 'model',
  created: model.created,
  owned_by: 'burrow',
  root: model.name,
  parent: null,
  max_model_len: model.maxModelLen,
  permission: [
    {
      id: `modelperm-${model.name}`,
      object: 'model_permission',
      created: model.created,
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

export const modelListBody = (models: readonly ServedModel[]) => ({
  object: 'list',
  data: models.map(modelBody),
})
