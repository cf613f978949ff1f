/**
 * The sending half of a flow-controlled stream: at most one chunk waits here, and leaves as DATA
 * frames as far as the peer's credit reaches. SPEC.md, "Windows".
 */
import type { SendCredit } from './connection-credit.ts'
import type { Counters } from './counters.ts'
import { TunnelError } from './error.ts'
import type { Frame } from './frame.ts'
import { limits } from './limits.ts'

type Waiting = {
  readonly chunk: Uint8Array
  readonly taken: () => void
  readonly failed: (error: TunnelError) => void
}

export type SendStreamOptions = {
  readonly streamId: number
  /** Initial credit, bytes. */
  readonly windowBytes: number
  readonly connection: SendCredit
  readonly counters: Counters
  /** Called whenever `take()` may have become able to give a frame. */
  readonly ready: () => void
  /** Called when END has been taken: the last frame of this half. */
  readonly ended?: () => void
}

export class SendStream {
  readonly #options: SendStreamOptions
  #credit: number
  #waiting: Waiting | undefined
  #sentBytes = 0 // of the waiting chunk
  #end: Uint8Array | undefined // END's payload, once asked for
  #closed: TunnelError | undefined
  #isStalled = false

  constructor(options: SendStreamOptions) {
    this.#options = options
    this.#credit = options.windowBytes
  }

  /** Nothing more will be sent: END has been taken, or the stream was aborted. */
  get isClosed(): boolean {
    return this.#closed !== undefined
  }

  /**
   * Hands over one chunk, which must not be changed afterwards; resolves when all of it has been
   * taken. One at a time: the next write follows the last one's promise.
   * @throws TunnelError when the stream was closed before the chunk was taken
   */
  write(chunk: Uint8Array): Promise<void> {
    if (this.#closed) return Promise.reject(this.#closed)
    if (this.#waiting || this.#end) throw new Error('a chunk is still waiting, or the end was sent')
    if (chunk.byteLength === 0) return Promise.resolve()
    return new Promise((taken, failed) => {
      this.#waiting = { chunk, taken, failed }
      this.#sentBytes = 0
      this.#options.ready()
    })
  }

  /** Ends the stream after what was written. */
  end(payload: Uint8Array): void {
    if (this.#closed || this.#end) return
    this.#end = payload
    this.#options.ready()
  }

  /** Drops what waits (its write rejects) and takes no more. */
  abort(error: TunnelError): void {
    if (this.#closed) return
    this.#closed = error
    this.#end = undefined
    this.#waiting?.failed(error)
    this.#waiting = undefined
    this.#options.connection.forget(this)
  }

  /** The END of a stream that was aborted: it says why the body is not whole. */
  endAborted(payload: Uint8Array): void {
    this.#end = payload
    this.#options.ready()
  }

  /** The peer's WINDOW. @throws TunnelError FLOW_CONTROL when the credit leaves its range */
  grant(delta: number): void {
    this.#credit += delta
    if (this.#credit > limits.maxCreditBytes) {
      throw new TunnelError('FLOW_CONTROL', `credit of ${this.#credit} bytes on one stream`)
    }
    this.#options.ready()
  }

  /** The next frame, or undefined when there is nothing to send or no credit for it. */
  take(): Frame | undefined {
    if (this.#waiting) return this.#takeData(this.#waiting)
    if (!this.#end) return undefined
    const { streamId, ended } = this.#options
    const frame: Frame = { name: 'END', streamId, payload: this.#end }
    this.#end = undefined
    this.#closed ??= new TunnelError('CANCEL', 'the stream has ended')
    ended?.()
    return frame
  }

  #takeData(waiting: Waiting): Frame | undefined {
    const { streamId, connection } = this.#options
    const left = waiting.chunk.byteLength - this.#sentBytes
    const length = Math.min(left, this.#credit, connection.availableBytes, limits.dataBytes)
    if (length <= 0) {
      this.#stall()
      return undefined
    }
    const payload = waiting.chunk.subarray(this.#sentBytes, this.#sentBytes + length)
    this.#credit -= length
    connection.take(length)
    this.#sentBytes += length
    this.#isStalled = false
    if (length === left) {
      this.#waiting = undefined
      waiting.taken()
    }
    return { name: 'DATA', streamId, payload }
  }

  #stall(): void {
    const { connection, counters } = this.#options
    const isOwn = this.#credit === 0
    // Its own credit comes by `grant`; the connection's has to be waited for.
    if (!isOwn) connection.wait(this)
    if (this.#isStalled) return
    this.#isStalled = true
    if (isOwn) counters.streamWindowStalls++
    else counters.connectionWindowStalls++
  }
}
