/** Sends a request's body, whole or as it comes, as far as the stream's credit reaches. */
import { TunnelError } from './error.ts'
import type { OpenRequest } from './exchange.ts'
import { encodeEnd } from './message.ts'
import type { SendStream } from './send-stream.ts'

export type RequestBodyOptions = {
  readonly stream: SendStream
  /** Infinity where any length may pass. */
  readonly maxBytes: number
  /** The body's source failed, or gave more than `maxBytes`: the request cannot be completed. */
  readonly failed: (error: unknown) => void
}

export class RequestBody {
  readonly #options: RequestBodyOptions
  readonly #body: OpenRequest['body']
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined
  #isStopped = false

  constructor(body: OpenRequest['body'], options: RequestBodyOptions) {
    this.#options = options
    this.#body = body
  }

  /** Begins to send; END follows the last byte. */
  start(): void {
    if (this.#isStopped) return
    void this.#send().catch((error: unknown) => {
      // The stream was closed first: its end has been told where it belongs.
      if (!this.#isStopped) this.#options.failed(error)
    })
  }

  /** Nothing more will be sent; the source is told. Idempotent. */
  stop(reason: unknown): void {
    if (this.#isStopped) return
    this.#isStopped = true
    if (!(this.#body instanceof ReadableStream)) return
    // A source may fail in its own clean-up; nobody waits for it.
    const cancelled = this.#reader ? this.#reader.cancel(reason) : this.#body.cancel(reason)
    cancelled.catch(() => {})
  }

  async #send(): Promise<void> {
    const { stream } = this.#options
    if (this.#body instanceof ReadableStream) await this.#sendAll(this.#body)
    else if (this.#body) await stream.write(this.#body)
    if (!this.#isStopped) stream.end(encodeEnd({}))
  }

  async #sendAll(body: ReadableStream<Uint8Array>): Promise<void> {
    const { stream, maxBytes } = this.#options
    this.#reader = body.getReader()
    let numBytes = 0
    for (;;) {
      const { done, value } = await this.#reader.read()
      if (done || this.#isStopped) return
      numBytes += value.byteLength
      if (numBytes > maxBytes) {
        throw new TunnelError('TOO_LARGE', `the request's body is over ${maxBytes} bytes`)
      }
      await stream.write(value)
    }
  }
}
