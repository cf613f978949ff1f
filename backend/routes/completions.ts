/** `POST /v1/completions`. */
import type { Handler } from 'hono'
import type { AnswerIdentity } from '../../shared/openai/answer.ts'
import {
  completionBody,
  completionChunk,
  completionUsageChunk,
  parseCompletionRequest,
} from '../../shared/openai/completion.ts'
import type { BackendDeps, BackendEnv } from '../app.ts'
import { completionPrompt } from '../served-model.ts'
import type { AnswerFormat } from './answer.ts'
import { generationHandler } from './generation.ts'

export const completions = (deps: BackendDeps): Handler<BackendEnv> =>
  generationHandler(deps, {
    parse: parseCompletionRequest,
    promptTokens: (model, request) => completionPrompt(model, request.prompt),
    promptField: 'prompt',
    idPrefix: 'cmpl',
    format: completionFormat,
  })

const completionFormat = (identity: AnswerIdentity, includeUsage: boolean): AnswerFormat => ({
  whole: (choices, usage) => completionBody(identity, choices, usage),
  opening: null,
  delta: (index, delta) =>
    completionChunk(identity, { ...delta, index, finishReason: null }, includeUsage),
  closing: (index, finishReason) =>
    completionChunk(identity, { index, text: '', logprobs: null, finishReason }, includeUsage),
  usage: includeUsage ? (usage) => completionUsageChunk(identity, usage) : null,
})
