/** The count of one request as its handler tells it: running, final, and what the gateway was told. */
import type { Usage } from '../openai/usage.ts'

export class ServedUsage {
  #reported: Usage | null = null
  #told: Usage | null = null
  #final: Promise<Usage | null> | undefined

  report(usage: Usage): void {
    this.#reported = usage
  }

  awaitFinal(final: Promise<Usage | null>): void {
    this.#final = final
    // Read at the end, which may come after a rejection.
    final.catch(() => {})
  }

  /** The last count; null when none is known. */
  get last(): Usage | null {
    return this.#reported
  }

  /** The last count, if it has changed since this was last asked. */
  takeChange(): Usage | null {
    const { promptTokens, completionTokens } = this.#reported ?? {}
    const isSame =
      promptTokens === this.#told?.promptTokens && completionTokens === this.#told?.completionTokens
    if (isSame) return null
    this.#told = this.#reported
    return this.#reported
  }

  /** Waits for the final count; `last` is then it, or as near as can be. Rejects as it does. */
  async settle(): Promise<void> {
    if (this.#final) this.#reported = (await this.#final) ?? this.#reported
    // The handler is done and has counted nothing, so it used nothing.
    else this.#reported ??= { promptTokens: 0, completionTokens: 0 }
  }
}
