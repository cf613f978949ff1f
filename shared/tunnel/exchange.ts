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
  /**
   * A stream is read as the backend takes it, and cancelled when the exchange ends first. If it
   * errors, the exchange is cancelled. With `upgrade` it is what the client sends after its head.
   */
  readonly body: Uint8Array | ReadableStream<Uint8Array> | null
  /** What the backend gives back with the final count, should the gateway have lost its memory. */
  readonly ticket?: string
  /** Time left for the whole exchange; then the backend stops the work with DEADLINE. */
  readonly deadlineMs?: number
  /** 1 for the first time that this request is sent, 2 for the second. */
  readonly attempt?: number
  /** The exposed HTTP service that this is for; absent: the model API. */
  readonly service?: string
  /** The client asked for an upgrade; the head may then say 101. The method is GET. */
  readonly upgrade?: 'websocket'
}

export type ResponseHead = {
  /** 200 to 599, or 101 where the request had `upgrade`. */
  readonly status: number
  readonly headers: Headers
}

/** How an exchange ended, for the books. */
export type Settlement = {
  /** Tokens as the backend counted them; null when nothing is known of them. */
  readonly usage: Usage | null
  /** Whether `usage` is the final count. False: the last one of a stream whose end was lost, or null. */
  readonly isFinal: boolean
  readonly outcome: 'completed' | 'cancelled' | 'failed'
  /** Why it failed; absent unless `outcome` is `failed`. */
  readonly errorCode?: ErrorCode
}

/** One request in flight, as the gateway sees it. */
export interface Exchange {
  /** Rejects with a `TunnelError`; its `mayHaveRun` says whether the request may be sent again. */
  readonly head: Promise<ResponseHead>
  /**
   * The response body; after a 101, the backend's side of the conversation. A stream that failed
   * errors with a `TunnelError` after the bytes that came before, and never ends as if it had
   * succeeded. `cancel()` on it cancels the exchange.
   */
  readonly body: ReadableStream<Uint8Array>
  /** Resolves exactly once, whatever happens; never rejects. */
  readonly settled: Promise<Settlement>
  /** The count so far, as the backend last told it; null before it has. */
  readonly lastReportedUsage: Usage | null
  /** Stops the work. `settled` still waits for the backend's final count, for a limited time. */
  cancel(reason: string): void
}

/** What a backend's handler is given beside the request. One that counts nothing has used nothing. */
export interface ServedExchange {
  readonly requestId: string
  /** As in `OpenRequest`. */
  readonly ticket?: string
  readonly deadlineMs?: number
  readonly attempt?: number
  readonly service?: string
  readonly upgrade?: 'websocket'
  /** With `upgrade`: the client's bytes, which come once the answer is an `Upgraded`; else null. */
  readonly upgradedBody: ReadableStream<Uint8Array> | null
  /** The count so far, or the final one; the last call counts. Sent to the gateway while it changes. */
  reportUsage(usage: Usage): void
  /**
   * Hands over the final count. The end of the exchange waits for it (for a limited time), also
   * after a cancel; null or a rejection falls back to the last `reportUsage`.
   */
  usage(final: Promise<Usage | null>): void
}

/** The answer 101, which a `Response` cannot say. Its body's end closes this side of the conversation. */
export type Upgraded = {
  readonly status: 101
  readonly headers: Headers
  readonly body: ReadableStream<Uint8Array>
}

/**
 * Answers one request. `request.signal` aborts when the gateway cancels, the deadline has passed or
 * the connection is lost; the handler then stops its work and settles.
 */
export type TunnelHandler = (
  request: Request,
  exchange: ServedExchange,
) => Promise<Response | Upgraded>

/** A request whose count is final, for the backend's journal. */
export type Counted = {
  readonly requestId: string
  readonly ticket?: string
  readonly service?: string
  /** Null when the count is not known. */
  readonly usage: Usage | null
}
