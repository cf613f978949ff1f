/** Log-probabilities in OpenAI's two shapes: chat completions' `content`, and the older four lists. */
import { InvalidRequest } from '../errors.ts'
import { optionalBoolean, optionalNumber, type Fields } from '../parse.ts'

export type NamedLogprob = {
  /** The token's part of the text in UTF-8; may be half a character. */
  readonly bytes: Uint8Array
  /** Natural logarithm; may be −∞. */
  readonly logprob: number
}

/** One token of an answer, with the likeliest tokens in its place. */
export type AnswerLogprob = NamedLogprob & {
  readonly top: readonly NamedLogprob[]
  /** Characters (Unicode code points) of the choice's text before the token. */
  readonly textOffset: number
}

/** OpenAI's own maximum for chats; vLLM's for both. */
const maxTop = 20

/**
 * Chat's `logprobs` and `top_logprobs`.
 * @returns how many of the likeliest tokens to tell with each; undefined: no log-probabilities at all
 */
export const parseChatLogprobs = (body: Fields): number | undefined => {
  const top = optionalNumber(body, 'top_logprobs', { min: 0, max: maxTop, whole: true })
  if (optionalBoolean(body, 'logprobs') ?? false) return top ?? 0
  if (!top) return undefined
  throw new InvalidRequest("'top_logprobs' needs 'logprobs': true.", 'top_logprobs')
}

/** Completions' `logprobs`, a number. OpenAI stops at 5. */
export const parseCompletionLogprobs = (body: Fields): number | undefined => {
  if (body.top_logprobs) {
    throw new InvalidRequest(
      "'top_logprobs' is of chat completions: here, 'logprobs' is the number.",
      'top_logprobs',
    )
  }
  return optionalNumber(body, 'logprobs', { min: 0, max: maxTop, whole: true })
}

/** OpenAI's word for "very unlikely": JSON has no infinity. */
const floor = -9999

const number = (logprob: number): number => (logprob > floor ? logprob : floor)

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The bytes as text; as `\xe4\xbd` when they are no whole characters, which is how OpenAI writes it. */
const tokenText = (bytes: Uint8Array, prefix: string): string => {
  try {
    return utf8.decode(bytes)
  } catch {
    const hex = Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, '0')}`)
    return prefix + hex.join('')
  }
}

const chatToken = ({ bytes, logprob }: NamedLogprob) => ({
  token: tokenText(bytes, ''),
  logprob: number(logprob),
  bytes: Array.from(bytes),
})

/** `choices[].logprobs` of a chat completion or a chunk. */
export const chatLogprobs = (tokens: readonly AnswerLogprob[]) => ({
  content: tokens.map((token) => ({
    ...chatToken(token),
    top_logprobs: token.top.map(chatToken),
  })),
  refusal: null,
})

/** Without a field for bytes, the text itself says that it is none. */
const completionText = ({ bytes }: NamedLogprob): string => tokenText(bytes, 'bytes:')

/**
 * `choices[].logprobs` of a text completion or a chunk. The sampled token is among the top ones even
 * where it is not one of the likeliest, so there may be one more than asked for.
 */
export const completionLogprobs = (tokens: readonly AnswerLogprob[]) => ({
  tokens: tokens.map(completionText),
  token_logprobs: tokens.map(({ logprob }) => number(logprob)),
  top_logprobs: tokens.map((token) =>
    Object.fromEntries(
      [...token.top, token].map((named) => [completionText(named), number(named.logprob)]),
    ),
  ),
  text_offset: tokens.map(({ textOffset }) => textOffset),
})
