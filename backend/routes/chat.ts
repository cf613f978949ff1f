/** `POST /v1/chat/completions`. */
import type { Handler } from 'hono'
import type { AnswerIdentity } from '../../shared/openai/answer.ts'
import {
  chatChunk,
  chatCompletion,
  chatUsageChunk,
  parseChatRequest,
  type ChatRequest,
} from '../../shared/openai/chat.ts'
import type { BackendDeps, BackendEnv } from '../app.ts'
import { chatPrompt } from '../served-model.ts'
import { promptLogprobsBody } from '../../shared/openai/prompt-logprobs.ts'
import type { AnswerFormat } from './answer.ts'
import { generationHandler } from './generation.ts'

export const chat = (deps: BackendDeps): Handler<BackendEnv> =>
  generationHandler(deps, {
    parse: parseChatRequest,
    prompt: async (model, { messages }, signal) => ({
      tokens: await chatPrompt(model, messages, signal),
      echo: null,
    }),
    promptField: 'messages',
    idPrefix: 'chatcmpl',
    format: chatFormat,
  })

const chatFormat = (
  identity: AnswerIdentity,
  { includeUsage, promptLogprobs = 0 }: ChatRequest,
): AnswerFormat => ({
  whole: (choices, usage, { tokens }) =>
    chatCompletion(identity, choices, usage, tokens && promptLogprobsBody(tokens, promptLogprobs)),
  opening: (index) =>
    chatChunk(identity, { index, delta: { role: 'assistant', content: '' } }, includeUsage),
  delta: (index, { text, logprobs }) =>
    chatChunk(identity, { index, delta: { content: text }, logprobs }, includeUsage),
  closing: (index, finishReason) =>
    chatChunk(identity, { index, delta: {}, finishReason }, includeUsage),
  usage: includeUsage ? (usage) => chatUsageChunk(identity, usage) : null,
})
