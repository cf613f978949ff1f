/** The request body as JSON. */
import { InvalidRequest } from '../../shared/errors.ts'

/** @throws InvalidRequest */
export const readJson = async (request: Request): Promise<unknown> => {
  try {
    const body: unknown = await request.json()
    return body
  } catch (cause) {
    const reason = cause instanceof Error ? `: ${cause.message}` : ''
    throw new InvalidRequest(`The request body is no valid JSON${reason}.`)
  }
}
