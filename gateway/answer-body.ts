/** The body that the client gets: the backend's, and an honest end when that one breaks. */
import type { ApiError } from '../shared/errors.ts'
import { errorBody } from '../shared/openai/error.ts'
import { sseEvent } from '../shared/sse.ts'
import { WholeEvents } from './sse-events.ts'

export type AnswerBodyOptions = {
  /** The backend's body. It errors when the answer is not whole. */
  readonly source: ReadableStream<Uint8Array>
  /** Whether the body is server-sent events. */
  readonly isEventStream: boolean
  /** Ends the answer early; the reason is for the client. */
  readonly stop: AbortSignal
  readonly onFirstBytes: () => void
  /** Turns whatever broke the source into words for the client. */
  readonly explain: (error: unknown) => ApiError
}

/**
 * Passes the source on under the client's back-pressure. A broken event stream ends with an
 * `{"error": …}` event and no `[DONE]`; any other broken body errors, so that the connection
 * breaks and nobody takes the part for the whole. The client's cancel cancels the source.
 */
export const answerBody = (options: AnswerBodyOptions): ReadableStream<Uint8Array> => {
  const { stop } = options
  const reader = options.source.getReader()
  const events = options.isEventStream ? new WholeEvents() : null
  let begun = false
  let ended = false
  let stopNow = () => {}

  const begin = () => {
    if (!begun) options.onFirstBytes()
    begun = true
  }
  const end = () => {
    ended = true
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
        stop.addEventListener('abort', stopNow)
        if (stop.aborted) stopNow()
      },
      async pull(controller) {
        try {
          for (;;) {
            const { done, value } = await reader.read()
            // While this waited, `stop` may have ended the answer.
            if (ended) return
            const bytes = done ? events?.flush() : events ? events.push(value) : value
            if (bytes && bytes.byteLength > 0) {
              begin()
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
