/**
 * The receiving half of a flow-controlled stream: what arrived and was not yet read, never more than
 * the window. Credit goes back to the peer when the reader takes the bytes. SPEC.md, "Windows".
 */
import { TunnelError } from './error.ts'
import { limits } from './limits.ts'

/** Bytes in a row; small payloads share one block, so that 1-byte frames cost no object each. */
type Block = { readonly bytes: Uint8Array; filled: number }

export type ReceiveStreamOptions = {
  readonly windowBytes: number
  /** Called with the bytes that the reader took, at half windows: WINDOW is due. */
  readonly grant: (delta: number) => void
  /** The reader gave up. */
  readonly cancelled: (reason: unknown) => void
}

export class ReceiveStream {
  readonly readable: ReadableStream<Uint8Array>
  readonly #options: ReceiveStreamOptions
  readonly #blocks: Block[] = []
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined
  #credit: number // what the peer may still send
  #takenBytes = 0 // taken by the reader, not yet granted again
  #isWanted = false // a read waits
  #end: { readonly error: TunnelError | undefined } | undefined
  #isClosed = false // the readable has seen its end, or nobody reads

  constructor(options: ReceiveStreamOptions) {
    this.#options = options
    this.#credit = options.windowBytes
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
          this.#drop()
          options.cancelled(reason)
        },
      },
      // No read-ahead: `pull` then means that somebody waits for bytes.
      { highWaterMark: 0 },
    )
  }

  /** One DATA payload; it is copied. @throws TunnelError FLOW_CONTROL when it is over the credit */
  push(payload: Uint8Array): void {
    this.#credit -= payload.byteLength
    if (this.#credit < 0) {
      throw new TunnelError('FLOW_CONTROL', `${-this.#credit} bytes of DATA more than the credit`)
    }
    if (this.#isClosed || this.#end) return
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
    this.#drop()
    this.#controller?.error(error)
  }

  #drop(): void {
    this.#isClosed = true
    this.#blocks.length = 0
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
      this.#isClosed = true
      if (this.#end.error) this.#controller?.error(this.#end.error)
      else this.#controller?.close()
    }
  }

  #taken(bytes: number): void {
    this.#takenBytes += bytes
    if (this.#end || this.#takenBytes < this.#options.windowBytes / 2) return
    this.#credit += this.#takenBytes
    this.#options.grant(this.#takenBytes)
    this.#takenBytes = 0
  }
}
