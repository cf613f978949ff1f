/** `POST /v1/completions` (https://platform.openai.com/docs/api-reference/completions): request and answers. */
import { InvalidRequest } from '../errors.ts'
import { fields, optionalBoolean, type Fields } from '../parse.ts'
import type { AnswerIdentity, Choice, FinishReason } from './answer.ts'
import { completionLogprobs, parseCompletionLogprobs, type TextToken } from './logprobs.ts'
import type { PromptLogprobsBody } from './prompt-logprobs.ts'
import { checkMinTokens, parseSamplingFields, tokenLimit, type SamplingFields } from './sampling.ts'
import { usageBody, type Usage } from './usage.ts'

export type CompletionRequest = SamplingFields & {
  /** Text, or token ids of the served model. */
  readonly prompt: string | readonly number[]
  /** 0: the prompt alone is echoed. */
  readonly maxTokens: number
  /** Whether each answer begins with the prompt, and the log-probabilities with its tokens'. */
  readonly echo: boolean
  /** So many of the likeliest tokens with each token's log-probability; undefined: none. */
  readonly logprobs: number | undefined
}

/** OpenAI's own default for this route. */
const defaultMaxTokens = 16

/** @throws InvalidRequest naming the field */
export const parseCompletionRequest = (body: unknown): CompletionRequest => {
  const from = fields(body, 'The request body')
  const sampling = parseSamplingFields(from)
  const echo = optionalBoolean(from, 'echo') ?? false
  const maxTokens = parseMaxTokens(from, echo)
  checkMinTokens(sampling.minTokens, maxTokens)
  return {
    ...sampling,
    prompt: parsePrompt(from.prompt),
    maxTokens,
    echo,
    logprobs: parseCompletionLogprobs(from),
  }
}

const parseMaxTokens = (from: Fields, echo: boolean): number => {
  if (from.max_tokens === 0 && !echo) {
    throw new InvalidRequest(
      "'max_tokens' 0 needs 'echo': true, or else there is nothing to answer.",
      'max_tokens',
      'invalid_value',
    )
  }
  return tokenLimit(from, 'max_tokens', echo ? 0 : 1) ?? defaultMaxTokens
}

const parsePrompt = (value: unknown): string | readonly number[] => {
  if (isPrompt(value)) return value
  const prompts: readonly unknown[] = Array.isArray(value) ? value : []
  if (prompts.length > 1 && prompts.every(isPrompt)) {
    throw new InvalidRequest(
      "'prompt' with several prompts is not supported yet: send one request for each.",
      'prompt',
    )
  }
  const only = prompts[0]
  if (prompts.length === 1 && isPrompt(only)) return only
  throw new InvalidRequest("'prompt' must be a string or a list of token ids.", 'prompt')
}

const isPrompt = (value: unknown): value is string | readonly number[] =>
  typeof value === 'string' ||
  (Array.isArray(value) && value.length > 0 && value.every((item) => Number.isSafeInteger(item)))

/** With `echo`, text and log-probabilities begin with the prompt's. */
export type CompletionChoice = Pick<Choice, 'text' | 'finishReason'> & {
  /** null: not asked for. */
  readonly logprobs: readonly TextToken[] | null
  /** null: not asked for. */
  readonly promptLogprobs: PromptLogprobsBody | null
}

/**
 * The whole answer. OpenAI calls whole answers and chunks alike `text_completion`.
 * @param choices in the order of their indices
 */
export const completionBody = (
  identity: AnswerIdentity,
  choices: readonly CompletionChoice[],
  usage: Usage,
) => ({
  id: identity.id,
  object: 'text_completion' as const,
  created: identity.created,
  model: identity.model,
  choices: choices.map(({ text, finishReason, logprobs, promptLogprobs }, index) => ({
    index,
    text,
    logprobs: logprobsBody(logprobs),
    finish_reason: finishReason,
    ...(promptLogprobs === null ? {} : { prompt_logprobs: promptLogprobs }),
  })),
  usage: usageBody(usage),
})

/** What one chunk says of one choice. */
export type CompletionChunkChoice = Pick<CompletionChoice, 'text' | 'logprobs'> & {
  readonly index: number
  readonly finishReason: FinishReason | null
}

/** One streamed chunk; `usage: null` stands in each of them when the client asked for usage. */
export const completionChunk = (
  identity: AnswerIdentity,
  { index, text, logprobs, finishReason }: CompletionChunkChoice,
  includeUsage: boolean,
) => ({
  id: identity.id,
  object: 'text_completion' as const,
  created: identity.created,
  model: identity.model,
  choices: [{ index, text, logprobs: logprobsBody(logprobs), finish_reason: finishReason }],
  ...(includeUsage ? { usage: null } : {}),
})

const logprobsBody = (logprobs: readonly TextToken[] | null) =>
  logprobs === null ? null : completionLogprobs(logprobs)

/** The last chunk before `[DONE]` when the client asked for usage. */
export const completionUsageChunk = (identity: AnswerIdentity, usage: Usage) => ({
  id: identity.id,
  object: 'text_completion' as const,
  created: identity.created,
  model: identity.model,
  choices: [],
  usage: usageBody(usage),
})
