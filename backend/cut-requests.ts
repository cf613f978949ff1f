/** Counts the requests that a stopping backend did not let finish. */
import { TunnelError } from '../shared/tunnel/error.ts'
import type { TunnelHandler } from '../shared/tunnel/exchange.ts'

export class CutRequests {
  #isStopping = false
  #count = 0

  /** From now on a lost connection is our own doing. */
  stopping(): void {
    this.#isStopping = true
  }

  get count(): number {
    return this.#count
  }

  /** The handler, watched. */
  watch(handler: TunnelHandler): TunnelHandler {
    return (request, exchange) => {
      const { signal } = request
      signal.addEventListener('abort', () => {
        const { reason }: { readonly reason: unknown } = signal
        const code = reason instanceof TunnelError ? reason.code : undefined
        const isCut = code === 'DRAINING' || code === 'CONNECTION_LOST'
        if (this.#isStopping && isCut) this.#count++
      })
      return handler(request, exchange)
    }
  }
}
