/** `GET /v1/models`, with the fields that vLLM adds. `root` is the served model name, never a path. */

/** @param created Unix time in seconds */
export const modelBody = (id: string, created: number) => ({
  id,
  object: 'model' as const,
  created,
  owned_by: 'burrow',
  root: id,
  parent: null,
  permission: [
    {
      id: `modelperm-${id}`,
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

export const modelListBody = (models: readonly ReturnType<typeof modelBody>[]) => ({
  object: 'list' as const,
  data: models,
})
