/** The body that the client gets: the backend's, and an honest end when that one breaks. */
import type { ApiError } from '../shared/errors.ts'
import { errorBody } from '../shared/openai/error.ts'
import { sseEvent, sseKeepAlive } from '../shared/sse.ts'
import { defaultAnswerTiming, type AnswerTiming } from './answer-timing.ts'
import { AnswerWatch } from './answer-watch.ts'
import { WholeEvents } from './sse-events.ts'

export type AnswerBodyOptions = {
  /** The backend's body. Its reads fail when the answer is not whole. */
  readonly source: {
    getReader(): Pick<ReadableStreamDefaultReader<Uint8Array>, 'read' | 'cancel'>
  }
  /** Whether the body is server-sent events. */
  readonly isEventStream: boolean
  /** Ends the answer early; the reason is for the client. */
  readonly stop: AbortSignal
  readonly onFirstBytes: () => void
  /** Turns whatever broke the source into words for the client. */
  readonly explain: (error: unknown) => ApiError
  readonly timing?: AnswerTiming
}

const keepAlive = new TextEncoder().encode(sseKeepAlive)

/**
 * Passes the source on under the client's back-pressure. A broken event stream ends with an
 * `{"error": …}` event and no `[DONE]`; any other broken body errors, so that the connection
 * breaks and nobody takes the part for the whole. The client's cancel cancels the source, and so
 * does a client that takes nothing for too long. A silent event stream carries comments: a client
 * that has left is noticed at the latest when it is written to.
 */
export const answerBody = (options: AnswerBodyOptions): ReadableStream<Uint8Array> => {
  const { stop, timing = defaultAnswerTiming } = options
  const reader = options.source.getReader()
  const events = options.isEventStream ? new WholeEvents() : null
  let begun = false
  let isWanted = false
  let ended = false
  let stopNow = () => {}
  let watch: AnswerWatch | undefined

  const begin = () => {
    if (!begun) options.onFirstBytes()
    begun = true
  }
  const end = () => {
    ended = true
    watch?.close()
    stop.removeEventListener('abort', stopNow)
  }
  const breakOff = (controller: ReadableStreamDefaultController<Uint8Array>, error: unknown) => {
    if (ended) return
    end()
    if (events) {
      controller.enqueue(new TextEncoder().encode(sseEvent(errorBody(options.explain(error)))))
      controller.close()
    } else {
      controller.error(error)
    }
  }
  /** The source's own errors have an owner: whoever waits for the exchange to settle. */
  const cancelSource = (reason: unknown) => void reader.cancel(reason).catch(() => {})

  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        stopNow = () => {
          breakOff(controller, stop.reason)
          cancelSource(stop.reason)
        }
        watch = new AnswerWatch({
          ...timing,
          // A comment that was not taken yet is in the stream's own queue.
          clientWaits: () => isWanted && controller.desiredSize === 0,
          silent: events && (() => controller.enqueue(keepAlive)),
          stalled: () => {
            const error = new Error('the client does not read')
            breakOff(controller, error)
            cancelSource(error)
          },
        })
        stop.addEventListener('abort', stopNow)
        if (stop.aborted) stopNow()
      },
      async pull(controller) {
        isWanted = true
        watch?.moved()
        try {
          for (;;) {
            const { done, value } = await reader.read()
            // While this waited, `stop` may have ended the answer.
            if (ended) return
            const bytes = done ? events?.flush() : events ? events.push(value) : value
            if (bytes && bytes.byteLength > 0) {
              begin()
              isWanted = false
              watch?.moved()
              controller.enqueue(bytes)
            }
            if (done) {
              end()
              controller.close()
            }
            if (bytes && bytes.byteLength > 0) return
          }
        } catch (error) {
          breakOff(controller, error)
          cancelSource(error)
        }
      },
      cancel(reason) {
        end()
        cancelSource(reason)
      },
    },
    { highWaterMark: 0 },
  )
}
