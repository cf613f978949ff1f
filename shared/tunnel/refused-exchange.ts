/** An exchange that failed before anything was sent. */
import { TunnelError, type ErrorCode } from './error.ts'
import type { Exchange, ResponseHead, Settlement } from './exchange.ts'

export class RefusedExchange implements Exchange {
  readonly head: Promise<ResponseHead>
  readonly body: ReadableStream<Uint8Array>
  readonly settled: Promise<Settlement>
  readonly lastReportedUsage = null

  constructor(code: ErrorCode, message: string) {
    const error = new TunnelError(code, message, { mayHaveRun: false })
    this.head = Promise.reject(error)
    // Not everybody waits for the head: the failure is also in `settled`.
    this.head.catch(() => {})
    this.body = new ReadableStream({ start: (controller) => controller.error(error) })
    this.settled = Promise.resolve({
      usage: null,
      isFinal: false,
      outcome: 'failed',
      errorCode: code,
    })
  }

  cancel(): void {}
}
