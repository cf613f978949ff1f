/** `POST /v1/chat/completions`. */
import type { Handler } from 'hono'
import type { AnswerIdentity } from '../../shared/openai/answer.ts'
import {
  chatChunk,
  chatCompletion,
  chatUsageChunk,
  parseChatRequest,
} from '../../shared/openai/chat.ts'
import type { BackendDeps, BackendEnv } from '../app.ts'
import { chatPrompt } from '../served-model.ts'
import type { AnswerFormat } from './answer.ts'
import { generationHandler } from './generation.ts'

export const chat = (deps: BackendDeps): Handler<BackendEnv> =>
  generationHandler(deps, {
    parse: parseChatRequest,
    promptTokens: (model, request) => chatPrompt(model, request.messages),
    promptField: 'messages',
    idPrefix: 'chatcmpl',
    format: chatFormat,
  })

const chatFormat = (identity: AnswerIdentity, includeUsage: boolean): AnswerFormat => ({
  whole: (choices, usage) => chatCompletion(identity, choices, usage),
  opening: (index) =>
    chatChunk(identity, { index, delta: { role: 'assistant', content: '' } }, includeUsage),
  delta: (index, { text, logprobs }) =>
    chatChunk(identity, { index, delta: { content: text }, logprobs }, includeUsage),
  closing: (index, finishReason) =>
    chatChunk(identity, { index, delta: {}, finishReason }, includeUsage),
  usage: includeUsage ? (usage) => chatUsageChunk(identity, usage) : null,
})
