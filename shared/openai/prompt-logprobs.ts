/** Log-probabilities of the prompt: vLLM's `prompt_logprobs`, and what OpenAI's `echo` tells with `logprobs`. */
import { InvalidRequest } from '../errors.ts'
import { optionalNumber, type Fields } from '../parse.ts'
import { maxTop, shownLogprob, tokenText, type NamedLogprob, type TextToken } from './logprobs.ts'

/** What the model says of a token of the prompt, given those before it. */
export type PromptScore = {
  /** Natural logarithm; may be −∞. */
  readonly logprob: number
  /** The token's place among the vocabulary, 1 for the likeliest. */
  readonly rank: number
  /** The likeliest tokens in its place, in order. */
  readonly top: readonly (NamedLogprob & { readonly token: number })[]
}

export type PromptToken = {
  readonly token: number
  /** Its part of the text in UTF-8. */
  readonly bytes: Uint8Array
  /** null: the first token, which nothing comes before. */
  readonly score: PromptScore | null
}

/** `prompt_logprobs`: how many of the likeliest tokens to tell with each; undefined: not asked for. */
export const parsePromptLogprobs = (body: Fields, stream: boolean): number | undefined => {
  const top = optionalNumber(body, 'prompt_logprobs', { min: 0, max: maxTop, whole: true })
  if (top === undefined || !stream) return top
  throw new InvalidRequest(
    "'prompt_logprobs' is not told in a stream: ask without 'stream', or for 'echo' with 'logprobs' (/v1/completions).",
    'prompt_logprobs',
    'invalid_value',
  )
}

/** `prompt_logprobs`, a list of objects by token id. Each has the prompt's own token, and at least `numTop`. */
export const promptLogprobsBody = (tokens: readonly PromptToken[], numTop: number) =>
  tokens.map(({ token, bytes, score }) => {
    if (score === null) return null
    const { logprob, rank, top } = score
    const likeliest = top
      .slice(0, numTop)
      .map((one, index) => [one.token, ranked(one, index + 1)] as const)
    return Object.fromEntries([...likeliest, [token, ranked({ bytes, logprob }, rank)] as const])
  })

const ranked = ({ bytes, logprob }: NamedLogprob, rank: number) => ({
  logprob: shownLogprob(logprob),
  rank,
  decoded_token: tokenText(bytes, ''),
})

export type PromptLogprobsBody = ReturnType<typeof promptLogprobsBody>

/**
 * The same for the four lists of text completions.
 * @param textOffsets characters (Unicode code points) of the prompt's text before each
 */
export const echoedTokens = (
  tokens: readonly PromptToken[],
  textOffsets: readonly number[],
  numTop: number,
): readonly TextToken[] =>
  tokens.map(({ bytes, score }, at) => ({
    bytes,
    textOffset: textOffsets[at] ?? 0,
    logprob: score?.logprob ?? null,
    top: score?.top.slice(0, numTop) ?? null,
  }))
