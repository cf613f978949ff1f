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
  if (typeof value === 'string') return value
  if (Array.isArray(value) && value.length > 0) {
    if (value.every((item): item is number => Number.isSafeInteger(item))) return value
    if (value.length === 1) return parsePrompt(value[0])
    throw new InvalidRequest(
      "'prompt' with several prompts is not supported yet: send one request for each.",
      'prompt',
    )
  }
  throw new InvalidRequest("'prompt' must be a string or a list of token ids.", 'prompt')
}

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
const body = (identity: AnswerIdentity, text: string, finishReason: FinishReason | null) => ({
  id: identity.id,
  object: 'text_completion',
  created: identity.created,
  model: identity.model,
  choices: [{ index: 0, text, logprobs: null, finish_reason: finishReason }],
})

/** The last chunk before `[DONE]` when the client asked for usage. */
export const completionUsageChunk = (identity: AnswerIdentity, usage: Usage) => ({
  id: identity.id,
  object: 'text_completion',
  created: identity.created,
  model: identity.model,
  choices: [],
  usage: usageBody(usage),
})
