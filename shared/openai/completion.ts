/** `POST /v1/completions` (https://platform.openai.com/docs/api-reference/completions): request and answers. */
import { InvalidRequest } from '../errors.ts'
import { fields } from '../parse.ts'
import type { AnswerIdentity, FinishReason } from './answer.ts'
import { parseSamplingFields, tokenLimit, type SamplingFields } from './sampling.ts'
import { usageBody, type Usage } from './usage.ts'

export type CompletionRequest = SamplingFields & {
  /** Text, or token ids of the served model. */
  readonly prompt: string | readonly number[]
  readonly maxTokens: number
}

/** OpenAI's own default for this route. */
const defaultMaxTokens = 16

/** @throws InvalidRequest naming the field */
export const parseCompletionRequest = (body: unknown): CompletionRequest => {
  const from = fields(body, 'The request body')
  return {
    ...parseSamplingFields(from),
    prompt: parsePrompt(from.prompt),
    maxTokens: tokenLimit(from, 'max_tokens') ?? defaultMaxTokens,
  }
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

/** The whole answer. */
export const completionBody = (
  identity: AnswerIdentity,
  text: string,
  finishReason: FinishReason,
  usage: Usage,
) => ({ ...body(identity, text, finishReason), usage: usageBody(usage) })

/** One streamed chunk; `usage: null` stands in each of them when the client asked for usage. */
export const completionChunk = (
  identity: AnswerIdentity,
  text: string,
  finishReason: FinishReason | null,
  includeUsage: boolean,
) => ({ ...body(identity, text, finishReason), ...(includeUsage ? { usage: null } : {}) })

/** OpenAI calls whole answers and chunks alike `text_completion`. */
const body = <Reason extends FinishReason | null>(
  identity: AnswerIdentity,
  text: string,
  finishReason: Reason,
) => ({
  id: identity.id,
  object: 'text_completion' as const,
  created: identity.created,
  model: identity.model,
  choices: [{ index: 0, text, logprobs: null, finish_reason: finishReason }],
})

/** The last chunk before `[DONE]` when the client asked for usage. */
export const completionUsageChunk = (identity: AnswerIdentity, usage: Usage) => ({
  id: identity.id,
  object: 'text_completion' as const,
  created: identity.created,
  model: identity.model,
  choices: [],
  usage: usageBody(usage),
})
