/** The events of one generation on their way from the engine thread to the route that reads them. */
import type { GenerationEnd, GenerationEvent } from './generation.ts'

export type GenerationResult = {
  readonly end: GenerationEnd
  readonly completionTokens: number
}

/**
 * Read once, by `for await`. It holds at most as many events as the request may have tokens, those of a
 * scored prompt among them, so a slow reader costs bounded memory. Stopping to read early aborts the generation.
 */
export class GenerationStream implements AsyncIterable<GenerationEvent> {
  /** Settles with the last event, also after an abort; never rejects. */
  readonly result: Promise<GenerationResult>
  readonly #abort: () => void
  readonly #events: GenerationEvent[] = []
  #settle: (result: GenerationResult) => void = () => {}
  #wake: (() => void) | null = null
  #completionTokens = 0
  #hasEnded = false

  /** @param abort tells the engine to stop; its last event still comes */
  constructor(abort: () => void) {
    this.#abort = abort
    this.result = new Promise((resolve) => (this.#settle = resolve))
  }

  /** Stops the generation within one step; its last event says what was generated. */
  abort(): void {
    if (!this.#hasEnded) this.#abort()
  }

  /** For the engine: the next event. */
  push(event: GenerationEvent): void {
    this.#completionTokens = event.completionTokens
    this.#events.push(event)
    if (event.end) {
      this.#hasEnded = true
      this.#settle({ end: event.end, completionTokens: event.completionTokens })
    }
    this.#wake?.()
  }

  /** For the engine: it died; the tokens counted so far are the last that are known. */
  fail(): void {
    if (this.#hasEnded) return
    this.push({ id: '', text: '', completionTokens: this.#completionTokens, end: 'error' })
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<GenerationEvent, void> {
    try {
      for (;;) {
        const event = this.#events.shift()
        if (event === undefined) {
          await new Promise<void>((resolve) => (this.#wake = resolve))
          continue
        }
        yield event
        if (event.end) return
      }
    } finally {
      this.abort()
    }
  }
}
