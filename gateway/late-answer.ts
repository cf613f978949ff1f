/** An event stream whose head does not wait for the backend: the client sees that it is served. */
import { ApiError } from '../shared/errors.ts'
import { errorBody } from '../shared/openai/error.ts'
import { sseEvent, sseHeaders, sseKeepAlive } from '../shared/sse.ts'
import type { AnswerTiming } from './answer-timing.ts'
import { readBody } from './read-body.ts'

export type LateAnswerOptions = Pick<AnswerTiming, 'headMs' | 'keepAliveMs'> & {
  /** Turns a failure into words for the client. */
  readonly explain: (error: unknown) => ApiError
  /** The client left before there was an answer. */
  readonly left: (reason: unknown) => void
}

/** The largest error that is passed on. */
const maxErrorBytes = 64 * 1024

const encoder = new TextEncoder()
const keepAlive = encoder.encode(sseKeepAlive)

/**
 * The answer to a streamed request if it is there within `headMs`, rejections too. Else a head of
 * 200 and a body of comments until it is there: they keep proxies patient, and show at last whether
 * the client has left. An answer that turns out to be an error is then an event in the stream.
 */
export const answerInTime = async (
  answer: Promise<Response>,
  options: LateAnswerOptions,
): Promise<Response> => {
  const late = Promise.withResolvers<null>()
  const timer = setTimeout(() => late.resolve(null), options.headMs)
  try {
    const first = await Promise.race([answer, late.promise])
    return first ?? new Response(lateBody(answer, options), { headers: sseHeaders })
  } finally {
    clearTimeout(timer)
  }
}

const lateBody = (
  answer: Promise<Response>,
  { keepAliveMs, explain, left }: LateAnswerOptions,
): ReadableStream<Uint8Array> => {
  let source: ReadableStreamDefaultReader<Uint8Array> | undefined
  let hasLeft = false
  let timer: ReturnType<typeof setInterval>
  // Its failure is told in the stream, if anybody still reads that.
  const body = answer.then(eventsOf, (error: unknown) => errorEvent(explain(error)))
  void body.then(() => clearInterval(timer))

  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        const say = () => {
          // One that was not taken yet says enough.
          if ((controller.desiredSize ?? 0) >= 0) controller.enqueue(keepAlive)
        }
        timer = setInterval(say, keepAliveMs)
        say()
      },
      async pull(controller) {
        source ??= (await body).getReader()
        if (hasLeft) {
          void source.cancel('the client left').catch(() => {})
          return
        }
        const { done, value } = await source.read()
        if (done) controller.close()
        else controller.enqueue(value)
      },
      async cancel(reason) {
        hasLeft = true
        clearInterval(timer)
        if (source) await source.cancel(reason)
        else left(reason)
      },
    },
    { highWaterMark: 0 },
  )
}

/** What the answer's body is in an event stream. */
const eventsOf = async (response: Response): Promise<ReadableStream<Uint8Array>> => {
  const isEventStream = response.headers.get('content-type')?.startsWith('text/event-stream')
  if (isEventStream && response.body) return response.body
  try {
    const bytes = await readBody(response, maxErrorBytes, AbortSignal.timeout(10_000))
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes))
    if (typeof value === 'object' && value !== null && 'error' in value) {
      return events(sseEvent({ error: value.error }))
    }
  } catch {
    // It is no error in our shape; so says what follows.
  }
  return errorEvent(
    new ApiError(502, 'The backend gave an answer that could not be passed on.', {
      code: 'backend_error',
    }),
  )
}

const errorEvent = (error: ApiError): ReadableStream<Uint8Array> =>
  events(sseEvent(errorBody(error)))

const events = (text: string): ReadableStream<Uint8Array> =>
  new ReadableStream({
    start(controller) {
      controller.enqueue(encoder.encode(text))
      controller.close()
    },
  })
