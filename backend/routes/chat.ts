/** `POST /v1/chat/completions`. */
import type { Handler } from 'hono'
import {
  chatChunk,
  chatCompletion,
  chatUsageChunk,
  parseChatRequest,
  type ChatIdentity,
} from '../../shared/openai/chat.ts'
import type { BackendDeps, BackendEnv } from '../app.ts'
import { chatPrompt, generationRequest, requireModel } from '../served-model.ts'
import { streamedAnswer, wholeAnswer, type AnswerFormat } from './answer.ts'
import { startGeneration } from './generate.ts'
import { readJson } from './read-json.ts'

export const chat =
  ({ engine, model }: BackendDeps): Handler<BackendEnv> =>
  async (c) => {
    const request = parseChatRequest(await readJson(c.req.raw))
    requireModel(model, request.model)
    const requestId = c.get('requestId')
    const prompt = chatPrompt(model, request.messages)
    const generation = startGeneration(
      c,
      engine,
      generationRequest(model, requestId, prompt, request, 'messages'),
    )
    const format = chatFormat(
      { id: `chatcmpl-${requestId}`, created: Math.floor(Date.now() / 1000), model: model.name },
      request.includeUsage,
    )
    const answer = { generation, promptTokens: prompt.length, format }
    return request.stream ? streamedAnswer(answer) : wholeAnswer(answer)
  }

const chatFormat = (identity: ChatIdentity, includeUsage: boolean): AnswerFormat => ({
  whole: (text, finishReason, usage) => chatCompletion(identity, text, finishReason, usage),
  opening: chatChunk(identity, { role: 'assistant', content: '' }, null, includeUsage),
  delta: (text) => chatChunk(identity, { content: text }, null, includeUsage),
  closing: (finishReason) => chatChunk(identity, {}, finishReason, includeUsage),
  usage: includeUsage ? (usage) => chatUsageChunk(identity, usage) : null,
})
