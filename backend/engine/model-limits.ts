/** How many tokens a request may have, given what the model and the client say. */
import { InvalidRequest } from '../../shared/errors.ts'

/**
 * Refuses a prompt of which it is known, without counting, that it has at least `minTokens`.
 * @throws InvalidRequest as {@link newTokenLimit} does
 */
export const checkPromptFits = (
  minTokens: number,
  maxModelLen: number,
  param: 'messages' | 'prompt',
): void => {
  if (minTokens <= maxModelLen) return
  const asked = `your prompt has at least ${minTokens} tokens`
  throw contextLengthExceeded(asked, maxModelLen, param)
}

/**
 * The number of new tokens a request gets: what it asks for, or all that the context still holds.
 * @param param the request field that holds the prompt, for the error
 * @throws InvalidRequest with OpenAI's `context_length_exceeded` and the numbers
 */
export const newTokenLimit = (
  promptTokens: number,
  maxTokens: number | undefined,
  maxModelLen: number,
  param: 'messages' | 'prompt',
): number => {
  if (promptTokens === 0) throw new InvalidRequest(`'${param}' must not be empty.`, param)
  const wanted = maxTokens ?? Math.max(1, maxModelLen - promptTokens)
  if (promptTokens + wanted <= maxModelLen) return wanted
  const asked =
    maxTokens === undefined
      ? `your prompt has ${promptTokens} tokens and leaves no room for an answer`
      : `you requested ${promptTokens + maxTokens} tokens (${promptTokens} in the prompt, ${maxTokens} for the answer)`
  throw contextLengthExceeded(asked, maxModelLen, param)
}

const contextLengthExceeded = (asked: string, maxModelLen: number, param: string) =>
  new InvalidRequest(
    `This model's maximum context length is ${maxModelLen} tokens, but ${asked}. Shorten the prompt or the answer.`,
    param,
    'context_length_exceeded',
  )
