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
  whole: (text, finishReason, usage) => chatCompletion(identity, text, finishReason, usage),
  opening: chatChunk(identity, { role: 'assistant', content: '' }, null, includeUsage),
  delta: (text) => chatChunk(identity, { content: text }, null, includeUsage),
  closing: (finishReason) => chatChunk(identity, {}, finishReason, includeUsage),
  usage: includeUsage ? (usage) => chatUsageChunk(identity, usage) : null,
})
