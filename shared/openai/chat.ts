/** `POST /v1/chat/completions` (https://platform.openai.com/docs/api-reference/chat): request and answers. */
import { InvalidRequest } from '../errors.ts'
import { fields, isFields, optionalBoolean, type Fields } from '../parse.ts'
import type { AnswerIdentity, Choice, FinishReason } from './answer.ts'
import { chatLogprobs, parseChatLogprobs, type AnswerLogprob } from './logprobs.ts'
import {
  checkMinTokens,
  notSupported,
  parseSamplingFields,
  tokenLimit,
  type SamplingFields,
} from './sampling.ts'
import type { PromptLogprobsBody } from './prompt-logprobs.ts'
import { usageBody, type Usage } from './usage.ts'

/** Messages of tools come with the tools, which are not served yet. */
const roles = ['system', 'developer', 'user', 'assistant'] as const
export type Role = (typeof roles)[number]

export type ChatMessage = { readonly role: Role; readonly content: string }

export type ChatRequest = SamplingFields & {
  readonly messages: readonly ChatMessage[]
  /** undefined: as many as the context holds. */
  readonly maxTokens: number | undefined
  /** So many of the likeliest tokens with each token's log-probability; undefined: none. */
  readonly logprobs: number | undefined
}

/** @throws InvalidRequest naming the field */
export const parseChatRequest = (body: unknown): ChatRequest => {
  const from = fields(body, 'The request body')
  const sampling = parseSamplingFields(from)
  const maxTokens = tokenLimit(from, 'max_completion_tokens') ?? tokenLimit(from, 'max_tokens')
  checkMinTokens(sampling.minTokens, maxTokens)
  const logprobs = parseChatLogprobs(from)
  if (optionalBoolean(from, 'echo')) throw notSupported('echo')
  return { ...sampling, messages: parseMessages(from.messages), maxTokens, logprobs }
}

const parseMessages = (value: unknown): ChatMessage[] => {
  if (!Array.isArray(value) || value.length === 0) {
    throw new InvalidRequest("'messages' must be a list of at least one message.", 'messages')
  }
  return value.map((message: unknown, index) => parseMessage(message, `messages[${index}]`))
}

const parseMessage = (value: unknown, path: string): ChatMessage => {
  if (!isFields(value)) throw new InvalidRequest(`'${path}' must be an object.`, path)
  const role = roles.find((known) => known === value.role)
  if (role === undefined) {
    throw new InvalidRequest(`'${path}.role' must be one of ${roles.join(', ')}.`, `${path}.role`)
  }
  refuseToolCalls(value, path)
  // The newer name of the same role; templates know only `system`.
  return {
    role: role === 'developer' ? 'system' : role,
    content: parseContent(value.content, path),
  }
}

/** An answer of before that called tools would be rendered without its calls. */
const refuseToolCalls = (message: Fields, path: string): void => {
  for (const name of ['tool_calls', 'function_call']) {
    const calls = message[name]
    if (calls === undefined || calls === null) continue
    if (Array.isArray(calls) && calls.length === 0) continue
    throw notSupported(`${path}.${name}`)
  }
}

/** A string, or text parts that are joined by line breaks, as vLLM does. */
const parseContent = (value: unknown, path: string): string => {
  if (typeof value === 'string') return value
  if (Array.isArray(value) && value.every((part) => isFields(part) && isTextPart(part))) {
    return value.map((part: Fields) => part.text).join('\n')
  }
  throw new InvalidRequest(
    `'${path}.content' must be a string or a list of text parts: this model reads text only.`,
    `${path}.content`,
  )
}

const isTextPart = (part: Fields): boolean => part.type === 'text' && typeof part.text === 'string'

/**
 * @param choices in the order of their indices
 * @param promptLogprobs of the rendered chat; null: not asked for
 */
export const chatCompletion = (
  identity: AnswerIdentity,
  choices: readonly Choice[],
  usage: Usage,
  promptLogprobs: PromptLogprobsBody | null,
) => ({
  id: identity.id,
  object: 'chat.completion' as const,
  created: identity.created,
  model: identity.model,
  choices: choices.map(({ text, finishReason, logprobs }, index) => ({
    index,
    message: { role: 'assistant' as const, content: text, refusal: null },
    logprobs: logprobs === null ? null : chatLogprobs(logprobs),
    finish_reason: finishReason,
  })),
  usage: usageBody(usage),
  ...(promptLogprobs === null ? {} : { prompt_logprobs: promptLogprobs }),
})

export type ChatDelta = { readonly role?: 'assistant'; readonly content?: string }

/** What one chunk says of one choice. */
export type ChatChunkChoice = {
  readonly index: number
  readonly delta: ChatDelta
  readonly logprobs?: readonly AnswerLogprob[] | null
  readonly finishReason?: FinishReason
}

/** One streamed chunk; `usage: null` stands in each of them when the client asked for usage. */
export const chatChunk = (
  identity: AnswerIdentity,
  { index, delta, logprobs = null, finishReason }: ChatChunkChoice,
  includeUsage: boolean,
) => ({
  id: identity.id,
  object: 'chat.completion.chunk' as const,
  created: identity.created,
  model: identity.model,
  choices: [
    {
      index,
      delta,
      logprobs: logprobs === null ? null : chatLogprobs(logprobs),
      finish_reason: finishReason ?? null,
    },
  ],
  ...(includeUsage ? { usage: null } : {}),
})

/** The last chunk before `[DONE]` when the client asked for usage. */
export const chatUsageChunk = (identity: AnswerIdentity, usage: Usage) => ({
  id: identity.id,
  object: 'chat.completion.chunk' as const,
  created: identity.created,
  model: identity.model,
  choices: [],
  usage: usageBody(usage),
})
