/** The `n` generations that answer one request, read as one stream of news. */
import type { Usage } from '../../shared/openai/usage.ts'
import type { GenerationEvent } from '../engine/generation.ts'
import type { GenerationStream } from '../engine/generation-stream.ts'

export type ChoiceEvent = { readonly index: number; readonly event: GenerationEvent }

export class Choices implements AsyncIterable<ChoiceEvent> {
  /** Settles when every choice has ended: the prompt once, the tokens of all. Never rejects. */
  readonly usage: Promise<Usage>
  readonly count: number
  readonly #generations: readonly GenerationStream[]

  /** @param generations of the same prompt, at least one */
  constructor(generations: readonly GenerationStream[], promptTokens: number) {
    this.#generations = generations
    this.count = generations.length
    this.usage = Promise.all(generations.map(({ result }) => result)).then((results) => ({
      promptTokens,
      completionTokens: results.reduce((sum, { completionTokens }) => sum + completionTokens, 0),
    }))
  }

  /** Stops all of them within one step. */
  abort(): void {
    for (const generation of this.#generations) generation.abort()
  }

  /** As news comes, whichever choice's; to be read once. Stopping to read early aborts all. */
  async *[Symbol.asyncIterator](): AsyncGenerator<ChoiceEvent, void> {
    const arrived: ChoiceEvent[] = []
    let wake = () => {}
    const readers = this.#generations.map(async (generation, index) => {
      for await (const event of generation) {
        arrived.push({ index, event })
        wake()
      }
    })
    try {
      for (let running = this.count; running > 0;) {
        const next = arrived.shift()
        if (next === undefined) {
          await new Promise<void>((resolve) => (wake = resolve))
          continue
        }
        if (next.event.end) running--
        yield next
      }
    } finally {
      this.abort()
      await Promise.all(readers)
    }
  }
}
