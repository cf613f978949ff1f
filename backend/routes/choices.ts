/** The `n` generations that answer one request, read as one stream of news. */
import type { Usage } from '../../shared/openai/usage.ts'
import type { GenerationEvent, PromptLogprob } from '../engine/generation.ts'
import type { GenerationStream } from '../engine/generation-stream.ts'

export type ChoiceEvent = { readonly index: number; readonly event: GenerationEvent }

export class Choices implements AsyncIterable<ChoiceEvent> {
  /** Settles when every choice has ended: the prompt once, the tokens of all. Never rejects. */
  readonly usage: Promise<Usage>
  readonly count: number
  readonly #generations: readonly GenerationStream[]
  readonly #promptLogprobs: PromptLogprob[] | null

  /**
   * @param generations of the same prompt, at least one
   * @param scoresPrompt whether the first of them tells the prompt's log-probabilities
   */
  constructor(
    generations: readonly GenerationStream[],
    promptTokens: number,
    scoresPrompt: boolean,
  ) {
    this.#promptLogprobs = scoresPrompt ? [] : null
    this.#generations = generations
    this.count = generations.length
    this.usage = Promise.all(generations.map(({ result }) => result)).then((results) => ({
      promptTokens,
      completionTokens: results.reduce((sum, { completionTokens }) => sum + completionTokens, 0),
    }))
  }

  /** From the second token on, all of them as soon as there is any news to read; null: not asked for. */
  get promptLogprobs(): readonly PromptLogprob[] | null {
    return this.#promptLogprobs
  }

  /** Stops all of them within one step. */
  abort(): void {
    for (const generation of this.#generations) generation.abort()
  }

  /** As news comes, whichever choice's; to be read once. Stopping to read early aborts all. */
  async *[Symbol.asyncIterator](): AsyncGenerator<ChoiceEvent, void> {
    const arrived: ChoiceEvent[] = []
    let wake = () => {}
    const next = async (): Promise<ChoiceEvent> => {
      for (;;) {
        const event = arrived.shift()
        if (event !== undefined) return event
        await new Promise<void>((resolve) => (wake = resolve))
      }
    }
    const readers = this.#generations.map(async (generation, index) => {
      for await (const event of generation) {
        arrived.push({ index, event })
        wake()
      }
    })
    try {
      const early = await this.#untilPromptIsScored(next)
      for (let running = this.count; running > 0;) {
        const news = early.shift() ?? (await next())
        if (news.event.end) running--
        yield news
      }
    } finally {
      this.abort()
      await Promise.all(readers)
    }
  }

  /** @returns what came until the first choice had news of its own, the prompt's taken out of it */
  async #untilPromptIsScored(next: () => Promise<ChoiceEvent>): Promise<ChoiceEvent[]> {
    const early: ChoiceEvent[] = []
    let isScored = this.#promptLogprobs === null
    while (!isScored) {
      const news = await next()
      const { completionTokens, end, promptLogprobs = [] } = news.event
      this.#promptLogprobs?.push(...promptLogprobs)
      if (completionTokens === 0 && end === undefined) continue
      early.push(news)
      isScored = news.index === 0
    }
    return early
  }
}
