/** Sends an answer's body as its source gives it, as far as the stream's credit reaches. */
import type { TunnelError } from './error.ts'
import type { SendStream } from './send-stream.ts'

export class ResponseBody {
  readonly #stream: SendStream
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined
  #stopped: Promise<void> | undefined

  constructor(stream: SendStream) {
    this.#stream = stream
  }

  /**
   * Resolves when the source has ended; its last chunk may still wait for credit, and what ends the
   * stream then waits behind it. So a short body and its END share a message. Rejects when the
   * source fails, after all that came before has been taken.
   */
  async send(body: ReadableStream<Uint8Array> | null): Promise<void> {
    if (!body) return
    const reader = body.getReader()
    this.#reader = reader
    let written = Promise.resolve()
    for (;;) {
      const next = reader.read()
      // Awaited below, but perhaps not before it fails.
      next.catch(() => {})
      // One chunk ahead: whether more will come is known while the last one waits.
      const { done, value } = await next.catch(async (error: unknown) => {
        await written
        throw error
      })
      if (done) return
      if (!(value instanceof Uint8Array)) throw new TypeError('a response body of no bytes')
      await written
      written = this.#stream.write(value)
      // A stream that is stopped has been told so; the next turn of the loop may come later.
      written.catch(() => {})
    }
  }

  /** Lets go of the source. Idempotent. */
  stop(reason: TunnelError): void {
    // The source may fail in its own clean-up: the answer is lost either way.
    this.#stopped ??= this.#reader?.cancel(reason).catch(() => {})
  }

  /** Resolves when the source has cleaned up, if it was stopped. */
  async cleanedUp(): Promise<void> {
    await this.#stopped
  }
}
