/** Reads a server-sent event stream event by event. */
export class SseReader {
  readonly #reader: ReadableStreamDefaultReader<string>
  #buffer = ''

  constructor(response: Response) {
    if (response.body === null) throw new Error('the response has no body')
    this.#reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  }

  /** The next event's data, or null when the stream has ended. */
  async next(): Promise<string | null> {
    for (;;) {
      const end = this.#buffer.indexOf('\n\n')
      if (end !== -1) {
        const event = this.#buffer.slice(0, end)
        this.#buffer = this.#buffer.slice(end + 2)
        return event.replace(/^data: /, '')
      }
      const { done, value } = await this.#reader.read()
      if (done) return null
      this.#buffer += value
    }
  }

  /** All events until the end. */
  async rest(): Promise<string[]> {
    const events: string[] = []
    for (let event = await this.next(); event !== null; event = await this.next()) {
      events.push(event)
    }
    return events
  }
}
