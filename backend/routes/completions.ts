/** `POST /v1/completions`. */
import type { Handler } from 'hono'
import {
  completionBody,
  completionChunk,
  completionUsageChunk,
  parseCompletionRequest,
  type CompletionIdentity,
} from '../../shared/openai/completion.ts'
import type { BackendDeps, BackendEnv } from '../app.ts'
import { completionPrompt, generationRequest, requireModel } from '../served-model.ts'
import { streamedAnswer, wholeAnswer, type AnswerFormat } from './answer.ts'
import { startGeneration } from './generate.ts'
import { readJson } from './read-json.ts'

export const completions =
  ({ engine, model }: BackendDeps): Handler<BackendEnv> =>
  async (c) => {
    const request = parseCompletionRequest(await readJson(c.req.raw))
    requireModel(model, request.model)
    const requestId = c.get('requestId')
    const prompt = completionPrompt(model, request.prompt)
    const generation = startGeneration(
      c,
      engine,
      generationRequest(model, requestId, prompt, request, 'prompt'),
    )
    const format = completionFormat(
      { id: `cmpl-${requestId}`, created: Math.floor(Date.now() / 1000), model: model.name },
      request.includeUsage,
    )
    const answer = { generation, promptTokens: prompt.length, format }
    return request.stream ? streamedAnswer(answer) : wholeAnswer(answer)
  }

const completionFormat = (identity: CompletionIdentity, includeUsage: boolean): AnswerFormat => ({
  whole: (text, finishReason, usage) => completionBody(identity, text, finishReason, usage),
  opening: null,
  delta: (text) => completionChunk(identity, text, null, includeUsage),
  closing: (finishReason) => completionChunk(identity, '', finishReason, includeUsage),
  usage: includeUsage ? (usage) => completionUsageChunk(identity, usage) : null,
})
