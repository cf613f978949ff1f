/** The outer contracts of the tunnel: what a gateway opens, and what a backend answers. */
import type { Usage } from '../openai/usage.ts'
import type { ErrorCode } from './error.ts'

/** A request that the gateway sends through the tunnel. */
export type OpenRequest = {
  /** Up to 128 characters; the same id in the logs of both ends. */
  readonly requestId: string
  readonly method: string
  /** Path and query, beginning with `/`. */
  readonly path: string
  /** Only what the backend may see: the client's credentials are left out by the caller. */
  readonly headers: Headers
  readonly body: Uint8Array | null
}

export type ResponseHead = {
  readonly status: number
  readonly headers: Headers
}

/** How an exchange ended, for the books. */
export type Settlement = {
  /** Tokens as the backend counted them; null when it could not say, or the connection was lost. */
  readonly usage: Usage | null
  readonly outcome: 'completed' | 'cancelled' | 'failed'
  /** Why it failed; absent unless `outcome` is `failed`. */
  readonly errorCode?: ErrorCode
}

/** One request in flight, as the gateway sees it. */
export interface Exchange {
  /** Rejects with a `TunnelError`; its `mayHaveRun` says whether the request may be sent again. */
  readonly head: Promise<ResponseHead>
  /**
   * The response body. A stream that failed errors with a `TunnelError` after the bytes that came
   * before, and never ends as if it had succeeded. `cancel()` on it cancels the exchange.
   */
  readonly body: ReadableStream<Uint8Array>
  /** Resolves exactly once, whatever happens; never rejects. */
  readonly settled: Promise<Settlement>
  /** Stops the work. `settled` still waits for the backend's final count, for a limited time. */
  cancel(reason: string): void
}

/** What a backend's handler is given beside the request. One that counts nothing has used nothing. */
export interface ServedExchange {
  readonly requestId: string
  /** The count so far, or the final one; the last call counts. */
  reportUsage(usage: Usage): void
  /**
   * Hands over the final count. The end of the exchange waits for it (for a limited time), also
   * after a cancel; null or a rejection falls back to the last `reportUsage`.
   */
  usage(final: Promise<Usage | null>): void
}

/**
 * Answers one request. `request.signal` aborts when the gateway cancels or the connection is lost;
 * the handler then stops its work and settles.
 */
export type TunnelHandler = (request: Request, exchange: ServedExchange) => Promise<Response>
