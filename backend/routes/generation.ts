/** What both generation routes do: parse, tokenise, start the engine, answer. */
import type { Context, Handler } from 'hono'
import type { AnswerIdentity } from '../../shared/openai/answer.ts'
import { tenantHeader } from '../../shared/tenant.ts'
import type { SamplingFields } from '../../shared/openai/sampling.ts'
import type { BackendDeps, BackendEnv } from '../app.ts'
import type { Engine } from '../engine/engine.ts'
import type { GenerationRequest } from '../engine/generation.ts'
import type { GenerationStream } from '../engine/generation-stream.ts'
import { generationRequest, requireModel, type LoadedModel } from '../served-model.ts'
import { streamedAnswer, wholeAnswer, type AnswerFormat } from './answer.ts'
import { readJson } from './read-json.ts'

/** Where the routes differ. */
export type GenerationRoute<Request> = {
  readonly parse: (body: unknown) => Request
  readonly promptTokens: (model: LoadedModel, request: Request) => readonly number[]
  /** The request field that holds the prompt, for errors. */
  readonly promptField: 'messages' | 'prompt'
  readonly idPrefix: string
  readonly format: (identity: AnswerIdentity, includeUsage: boolean) => AnswerFormat
}

type GenerationFields = SamplingFields & { readonly maxTokens: number | undefined }

export const generationHandler =
  <Request extends GenerationFields>(
    { engine, model }: BackendDeps,
    route: GenerationRoute<Request>,
  ): Handler<BackendEnv> =>
  async (c) => {
    const request = route.parse(await readJson(c.req.raw))
    requireModel(model, request.model)
    const prompt = route.promptTokens(model, request)
    const id = c.get('requestId')
    const work = generationRequest(model, id, prompt, request, route.promptField, {
      cacheSalt: c.req.header(tenantHeader) ?? '',
    })
    const generation = startGeneration(c, engine, work)
    const identity = {
      id: `${route.idPrefix}-${id}`,
      created: Math.floor(Date.now() / 1000),
      model: model.name,
    }
    const format = route.format(identity, request.includeUsage)
    const answer = { generation, promptTokens: prompt.length, format }
    return request.stream ? streamedAnswer(answer) : wholeAnswer(answer)
  }

/**
 * The client's leaving aborts the generation; the engine's final count goes to the tunnel as the
 * request's usage, however the request ends.
 */
const startGeneration = (
  c: Context<BackendEnv>,
  engine: Engine,
  request: GenerationRequest,
): GenerationStream => {
  const generation = engine.add(request)
  const { signal } = c.req.raw
  const abort = () => generation.abort()
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort, { once: true })
  const promptTokens = request.promptTokens.length
  const usage = generation.result.then(({ completionTokens }) => {
    signal.removeEventListener('abort', abort)
    return { promptTokens, completionTokens }
  })
  c.env?.exchange?.usage(usage)
  return generation
}
