/** What both generation routes do: parse, tokenise, start the engine, answer. */
import type { Context, Handler } from 'hono'
import type { AnswerIdentity } from '../../shared/openai/answer.ts'
import { tenantHeader } from '../../shared/tenant.ts'
import type { BackendDeps, BackendEnv } from '../app.ts'
import type { Engine } from '../engine/engine.ts'
import type { GenerationRequest } from '../engine/generation.ts'
import {
  generationRequests,
  requireModel,
  type GenerationFields,
  type LoadedModel,
  type Prompt,
} from '../served-model.ts'
import { streamedAnswer, wholeAnswer, type AnswerFormat } from './answer.ts'
import { Choices } from './choices.ts'
import { readJson } from './read-json.ts'

/** Where the routes differ. */
export type GenerationRoute<Request> = {
  readonly parse: (body: unknown) => Request
  readonly prompt: (model: LoadedModel, request: Request, signal: AbortSignal) => Promise<Prompt>
  /** The request field that holds the prompt, for errors. */
  readonly promptField: 'messages' | 'prompt'
  readonly idPrefix: string
  readonly format: (identity: AnswerIdentity, request: Request) => AnswerFormat
}

export const generationHandler =
  <Request extends GenerationFields>(
    { engine, model }: BackendDeps,
    route: GenerationRoute<Request>,
  ): Handler<BackendEnv> =>
  async (c) => {
    const request = route.parse(await readJson(c.req.raw))
    requireModel(model, request.model)
    const prompt = await route.prompt(model, request, c.req.raw.signal)
    const id = c.get('requestId')
    const work = generationRequests(model, id, prompt, request, route.promptField, {
      cacheSalt: c.req.header(tenantHeader) ?? '',
    })
    const choices = startChoices(c, engine, work)
    const identity = {
      id: `${route.idPrefix}-${id}`,
      created: Math.floor(Date.now() / 1000),
      model: model.name,
    }
    const format = route.format(identity, request)
    const answer = { choices, prompt, tokenizer: model.tokenizer, format }
    return request.stream ? streamedAnswer(answer) : wholeAnswer(answer)
  }

/**
 * The client's leaving aborts every choice; the engine's final count goes to the tunnel as the
 * request's usage, however the request ends.
 */
const startChoices = (
  c: Context<BackendEnv>,
  engine: Engine,
  requests: readonly [GenerationRequest, ...GenerationRequest[]],
): Choices => {
  const [{ promptTokens, promptLogprobs }] = requests
  const generations = engine.addAll(requests)
  const choices = new Choices(generations, promptTokens.length, promptLogprobs !== null)
  const { signal } = c.req.raw
  const abort = () => choices.abort()
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort, { once: true })
  const usage = choices.usage.then((final) => {
    signal.removeEventListener('abort', abort)
    return final
  })
  c.env?.exchange?.usage(usage)
  return choices
}
