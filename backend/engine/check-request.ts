/**
 * Checks a request before the engine has it: one that cannot be computed fails alone, not the step that
 * it would share with others. Routes check for their clients, in their words; this is for mistakes.
 */
import type { GenerationRequest } from './generation.ts'

export type RequestLimits = {
  readonly vocabSize: number
  readonly maxModelLen: number
}

/** @throws RangeError for token ids that the model does not have, or more tokens than it has room for */
export const checkRequest = (request: GenerationRequest, limits: RequestLimits): void => {
  const { promptTokens, stopTokenIds, sampling, maxTokens } = request
  const { vocabSize, maxModelLen } = limits
  const biasedTokens = sampling.logitBias.map(([token]) => token)
  for (const tokens of [promptTokens, stopTokenIds, biasedTokens]) {
    const foreign = tokens.find((token) => !isIndex(token, vocabSize))
    if (foreign === undefined) continue
    throw new RangeError(`token ${foreign} is not one of the model's, 0 to ${vocabSize - 1}`)
  }
  if (promptTokens.length === 0) throw new RangeError('a prompt needs a token')
  if (!Number.isSafeInteger(maxTokens) || maxTokens < 0) {
    throw new RangeError(`${maxTokens} is no number of tokens to generate`)
  }
  if (promptTokens.length + maxTokens > maxModelLen) {
    throw new RangeError(
      `${promptTokens.length} tokens and ${maxTokens} new ones do not fit the ${maxModelLen} of a sequence`,
    )
  }
}

const isIndex = (value: number, count: number): boolean =>
  Number.isInteger(value) && value >= 0 && value < count
