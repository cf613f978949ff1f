/** A model as `GET /v1/models` must list it: as vLLM does, written out apart from the product's code. */
export const expectedModelCard = (name: string, created: unknown) => ({
  id: name,
  object: 'model',
  created,
  owned_by: 'burrow',
  root: name,
  parent: null,
  permission: [
    {
      id: `modelperm-${name}`,
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
