/** A body whose first bytes are read before anybody is told that there is one. */

type ByteReader = Pick<ReadableStreamDefaultReader<Uint8Array>, 'read' | 'cancel'>
type Read = Awaited<ReturnType<ByteReader['read']>>

export class ReadAhead {
  readonly #reader: ByteReader
  #first: Read | undefined

  private constructor(reader: ByteReader, first: Read) {
    this.#reader = reader
    this.#first = first
  }

  /** Waits for the first bytes, or the end. @throws what breaks the body before */
  static async of(body: ReadableStream<Uint8Array>): Promise<ReadAhead> {
    const reader = body.getReader()
    return new ReadAhead(reader, await reader.read())
  }

  /** To be called once. */
  getReader(): ByteReader {
    return this
  }

  async read(): Promise<Read> {
    const first = this.#first
    this.#first = undefined
    return first ?? this.#reader.read()
  }

  cancel(reason?: unknown): Promise<void> {
    return this.#reader.cancel(reason)
  }
}
