/**
 * The receiving half of a flow-controlled stream: what arrived and was not yet read, never more than
 * the window. Credit goes back to the peer when the reader takes the bytes, or when they are
 * dropped. SPEC.md, "Windows".
 */
import type { ReceiveCredit } from './connection-credit.ts'
import { TunnelError } from './error.ts'
import { limits } from './limits.ts'

/** Bytes in a row; small payloads share one block, so that 1-byte frames cost no object each. */
type Block = { readonly bytes: Uint8Array; filled: number }

/** What tells whether a window is too small for its connection. */
export interface Pace {
  /** Monotonic, ms. */
  now(): number
  /** Undefined while unknown: windows then stay. */
  readonly roundTripMs: number | undefined
}

export type ReceiveStreamOptions = {
  readonly windowBytes: number
  readonly connection: ReceiveCredit
  readonly pace: Pace
  /** Called with the bytes that the reader took, at half windows: WINDOW is due. */
  readonly grant: (delta: number) => void
  /** The reader gave up. */
  readonly cancelled: (reason: unknown) => void
  /** Nothing is held any more and nothing will be. Called once. */
  readonly drained?: () => void
}

export class ReceiveStream {
  readonly readable: ReadableStream<Uint8Array>
  readonly #options: ReceiveStreamOptions
  readonly #blocks: Block[] = []
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined
  #windowBytes: number
  #credit: number // what the peer may still send
  #takenBytes = 0 // taken by the reader, not yet granted again
  #grantedAt: number
  #isWanted = false // a read waits
  #end: { readonly error: TunnelError | undefined } | undefined
  #isClosed = false // the readable has seen its end, or nobody reads

  constructor(options: ReceiveStreamOptions) {
    this.#options = options
    this.#windowBytes = options.windowBytes
    this.#credit = options.windowBytes
    this.#grantedAt = options.pace.now()
    this.readable = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller
        },
        pull: () => {
          this.#isWanted = true
          this.#deliver()
        },
        cancel: (reason) => {
          this.#close()
          options.cancelled(reason)
        },
      },
      // No read-ahead: `pull` then means that somebody waits for bytes.
      { highWaterMark: 0 },
    )
  }

  /** One DATA payload; it is copied. @throws TunnelError FLOW_CONTROL when it is over a credit */
  push(payload: Uint8Array): void {
    this.#options.connection.received(payload.byteLength)
    this.#credit -= payload.byteLength
    if (this.#credit < 0) {
      throw new TunnelError('FLOW_CONTROL', `${-this.#credit} bytes of DATA more than the credit`)
    }
    if (this.#isClosed || this.#end) {
      this.#options.connection.taken(payload.byteLength)
      return
    }
    this.#store(payload)
    this.#deliver()
  }

  /** No more will come; the readable closes, or errors, after what it still holds. */
  end(error?: TunnelError): void {
    if (this.#end) return
    this.#end = { error }
    this.#deliver()
  }

  /** Errors the readable now and drops what it holds. */
  abort(error: TunnelError): void {
    if (this.#isClosed) return
    this.#close()
    this.#controller?.error(error)
  }

  /** Nobody reads any more: what is held is dropped, and its connection credit goes back. */
  #close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    const { connection, windowBytes, drained } = this.#options
    const heldBytes = this.#blocks.reduce((sum, block) => sum + block.filled, 0)
    this.#blocks.length = 0
    connection.taken(heldBytes)
    connection.shrink(this.#windowBytes - windowBytes)
    drained?.()
  }

  #store(payload: Uint8Array): void {
    const tail = this.#blocks.at(-1)
    if (tail && tail.bytes.byteLength - tail.filled >= payload.byteLength) {
      tail.bytes.set(payload, tail.filled)
      tail.filled += payload.byteLength
      return
    }
    // Nobody waits in line: the exact size. Behind others: room for the small ones that follow.
    const size = tail ? Math.max(payload.byteLength, limits.dataBytes) : payload.byteLength
    const bytes = new Uint8Array(size)
    bytes.set(payload)
    this.#blocks.push({ bytes, filled: payload.byteLength })
  }

  #deliver(): void {
    if (this.#isClosed) return
    if (this.#isWanted) {
      const block = this.#blocks.shift()
      if (block) {
        this.#isWanted = false
        this.#controller?.enqueue(block.bytes.subarray(0, block.filled))
        this.#taken(block.filled)
      }
    }
    if (this.#end && this.#blocks.length === 0) {
      this.#close()
      if (this.#end.error) this.#controller?.error(this.#end.error)
      else this.#controller?.close()
    }
  }

  #taken(bytes: number): void {
    this.#options.connection.taken(bytes)
    this.#takenBytes += bytes
    if (this.#end || this.#takenBytes < this.#windowBytes / 2) return
    const delta = this.#takenBytes + this.#growth()
    this.#takenBytes = 0
    this.#credit += delta
    this.#options.grant(delta)
  }

  /**
   * How much the window grows: it doubles where half of it was used up within a round trip, so that
   * the whole would be within two, and the reader waits for more.
   */
  #growth(): number {
    const { pace, connection } = this.#options
    const now = pace.now()
    const sinceMs = now - this.#grantedAt
    this.#grantedAt = now
    const isTight = pace.roundTripMs !== undefined && sinceMs < pace.roundTripMs
    const growth = Math.min(this.#windowBytes, limits.grownWindowBytes - this.#windowBytes)
    if (!isTight || this.#blocks.length > 0 || growth <= 0 || !connection.grow(growth)) return 0
    this.#windowBytes += growth
    return growth
  }
}
