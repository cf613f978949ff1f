/** A file of the model folder that cannot be used. Its message holds a path: for the operator, never for the API. */
export class ModelFolderError extends Error {
  override readonly name = 'ModelFolderError'

  constructor(path: string, cause: unknown) {
    super(`cannot use ${path}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    })
  }
}
