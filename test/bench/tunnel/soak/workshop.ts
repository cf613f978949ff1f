/** The backends' handler: makes what was asked for, and keeps the true count of what it made. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { TunnelHandler } from '../../../../shared/tunnel/exchange.ts'
import type { Violations } from './violations.ts'
import { done, pieces, type Ask } from './work.ts'

export const promptTokens = 5

type Run = {
  /** Pieces that were made. */
  completionTokens: number
  isRunning: boolean
}

export class Workshop {
  /** Every request that reached a handler, by id, since the last `forget`. */
  readonly runs = new Map<string, Run>()
  numRunning = 0
  readonly #violations: Violations
  #released = Promise.withResolvers<void>()

  constructor(violations: Violations) {
    this.#violations = violations
  }

  /** Lets all requests that hold end. */
  release(): void {
    this.#released.resolve()
    this.#released = Promise.withResolvers()
  }

  /** Requests that are over and were checked. */
  forget(): void {
    for (const [id, run] of this.runs) if (!run.isRunning) this.runs.delete(id)
  }

  readonly handler: TunnelHandler = async (request, exchange) => {
    const { requestId } = exchange
    if (this.runs.has(requestId)) this.#violations.add(`${requestId} was run twice`)
    const run: Run = { completionTokens: 0, isRunning: true }
    const over = Promise.withResolvers<{ promptTokens: number; completionTokens: number }>()
    const end = () => {
      if (!run.isRunning) return
      run.isRunning = false
      this.numRunning--
      over.resolve({ promptTokens, completionTokens: run.completionTokens })
    }
    // Of now: what is released counts as running already, though its body may not be here yet.
    const released = this.#released.promise
    this.runs.set(requestId, run)
    this.numRunning++
    exchange.usage(over.promise)
    const { signal } = request
    signal.addEventListener('abort', end)
    try {
      const ask: Ask = JSON.parse(await request.text())
      await sleep(ask.headMs, undefined, { signal })
      if (ask.kind === 'hold') await Promise.race([released, aborted(signal)])
      if (ask.failsAt === 0) throw new Error('fails as it was told')
      const contentType = ask.stream ? 'text/event-stream' : 'text/plain; charset=utf-8'
      const body = answerBody(ask, {
        signal,
        made: () => {
          run.completionTokens++
          exchange.reportUsage({ promptTokens, completionTokens: run.completionTokens })
        },
        end,
      })
      return new Response(body, { headers: { 'content-type': contentType } })
    } catch (error) {
      end()
      throw error
    }
  }
}

const aborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(new Error('stopped')))
  })

type Making = {
  readonly signal: AbortSignal
  /** One more piece. */
  readonly made: () => void
  readonly end: () => void
}

const answerBody = (ask: Ask, { signal, made, end }: Making): ReadableStream<Uint8Array> => {
  const encoder = new TextEncoder()
  const iterator = pieces(ask)
  let index = 0
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          if (ask.pauseMs > 0) await sleep((ask.pauseMs * (index % 3)) / 2, undefined, { signal })
          if (index === ask.failsAt) throw new Error('fails as it was told')
          const next = iterator.next()
          if (signal.aborted) throw new Error('stopped')
          if (!next.done) {
            index++
            made()
            controller.enqueue(encoder.encode(next.value))
            return
          }
          if (ask.kind === 'events') controller.enqueue(encoder.encode(done))
          end()
          controller.close()
        } catch (error) {
          end()
          throw error
        }
      },
      cancel: end,
    },
    { highWaterMark: 0 },
  )
}
