/** A message may quote a name from a file, which may be of any length and hold a terminal's commands. */
const maxMessageLength = 1000

const readable = (message: string): string => {
  const cut = message.length > maxMessageLength ? `${message.slice(0, maxMessageLength)}…` : message
  return cut.replaceAll(/\p{Cc}+/gu, ' ')
}

/** A file of the model folder that cannot be used. Its message holds a path: for the operator, never for the API. */
export class ModelFolderError extends Error {
  override readonly name = 'ModelFolderError'

  constructor(path: string, cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    super(`cannot use ${path}: ${readable(reason)}`, { cause })
  }
}
