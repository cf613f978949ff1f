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

/** A token of a text completion: of the answer, or of the prompt before it. */
export type TextToken = Pick<AnswerLogprob, 'bytes' | 'textOffset'> & {
  /** null, like `top`: the prompt's first token, of which the model says nothing. */
  readonly logprob: number | null
  readonly top: readonly NamedLogprob[] | null
}

/** OpenAI's own maximum for chats; vLLM's for both. */
export const maxTop = 20

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

export const shownLogprob = (logprob: number): number => (logprob > floor ? logprob : floor)

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The bytes as text; as `\xe4\xbd` when they are no whole characters, which is how OpenAI writes it. */
export const tokenText = (bytes: Uint8Array, prefix: string): string => {
  try {
    return utf8.decode(bytes)
  } catch {
    const hex = Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, '0')}`)
    return prefix + hex.join('')
  }
}

const chatToken = ({ bytes, logprob }: NamedLogprob) => ({
  token: tokenText(bytes, ''),
  logprob: shownLogprob(logprob),
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
const completionText = ({ bytes }: { readonly bytes: Uint8Array }): string =>
  tokenText(bytes, 'bytes:')

/**
 * `choices[].logprobs` of a text completion or a chunk. The token itself is among the top ones even
 * where it is not one of the likeliest, so there may be one more than asked for.
 */
export const completionLogprobs = (tokens: readonly TextToken[]) => ({
  tokens: tokens.map(completionText),
  token_logprobs: tokens.map(({ logprob }) => (logprob === null ? null : shownLogprob(logprob))),
  top_logprobs: tokens.map(({ bytes, logprob, top }) =>
    logprob === null || top === null
      ? null
      : Object.fromEntries(
          [...top, { bytes, logprob }].map((named) => [
            completionText(named),
            shownLogprob(named.logprob),
          ]),
        ),
  ),
  text_offset: tokens.map(({ textOffset }) => textOffset),
})
