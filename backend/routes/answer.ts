/** A generation → the HTTP answer, whole or streamed, in the format of the route. */
import { ApiError } from '../../shared/errors.ts'
import type { FinishReason } from '../../shared/openai/answer.ts'
import type { Usage } from '../../shared/openai/usage.ts'
import { sseDone, sseEvent, sseHeaders } from '../../shared/sse.ts'
import type { GenerationEnd, GenerationEvent } from '../engine/generation.ts'
import type { GenerationStream } from '../engine/generation-stream.ts'

/** How a route writes its answer: JSON bodies only. */
export type AnswerFormat = {
  readonly whole: (text: string, finishReason: FinishReason, usage: Usage) => object
  /** The chunk before the first text, if the format has one. */
  readonly opening: object | null
  readonly delta: (text: string) => object
  readonly closing: (finishReason: FinishReason) => object
  /** The chunk with the token counts; null when the client did not ask for it. */
  readonly usage: ((usage: Usage) => object) | null
}

type Answer = {
  readonly generation: GenerationStream
  readonly promptTokens: number
  readonly format: AnswerFormat
}

/** The whole text in one body. @throws ApiError when the engine fails or the client left */
export const wholeAnswer = async ({
  generation,
  promptTokens,
  format,
}: Answer): Promise<Response> => {
  let text = ''
  for await (const event of generation) {
    text += event.text
    if (event.end) {
      const usage = { promptTokens, completionTokens: event.completionTokens }
      return Response.json(format.whole(text, finishReason(event.end), usage))
    }
  }
  throw engineFailed()
}

/**
 * Server-sent events. The head waits for the first token, so that a failure before it still has a
 * status; after it a failure errors the body, which then has no `[DONE]`.
 */
export const streamedAnswer = async ({
  generation,
  promptTokens,
  format,
}: Answer): Promise<Response> => {
  const events = generation[Symbol.asyncIterator]()
  let first: IteratorResult<GenerationEvent, void> | null = await events.next()
  if (first.done) throw engineFailed()
  if (first.value.end) finishReason(first.value.end)

  const encoder = new TextEncoder()
  let opening = format.opening === null ? '' : sseEvent(format.opening)
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        // An event without text (half a character) has nothing to send yet: take the next.
        for (;;) {
          const next = first ?? (await events.next())
          first = null
          if (next.done) throw engineFailed()
          const event = next.value
          const text = opening + eventText(event, promptTokens, format)
          opening = ''
          if (text !== '') controller.enqueue(encoder.encode(text))
          if (event.end) return controller.close()
          if (text !== '') return
        }
      },
      cancel() {
        generation.abort()
      },
    },
    { highWaterMark: 0 },
  )
  return new Response(body, { headers: sseHeaders })
}

const eventText = (event: GenerationEvent, promptTokens: number, format: AnswerFormat): string => {
  const delta = event.text === '' ? '' : sseEvent(format.delta(event.text))
  if (event.end === undefined) return delta
  const usage = { promptTokens, completionTokens: event.completionTokens }
  return [
    delta,
    sseEvent(format.closing(finishReason(event.end))),
    format.usage === null ? '' : sseEvent(format.usage(usage)),
    sseDone,
  ].join('')
}

/** @throws ApiError for an end that is no answer */
const finishReason = (end: GenerationEnd): FinishReason => {
  if (end === 'stop' || end === 'length') return end
  if (end === 'abort') throw new ApiError(499, 'The client closed the request.')
  throw engineFailed()
}

const engineFailed = () =>
  new ApiError(500, 'The engine failed while it answered.', { code: 'engine_failed' })
