/**
 * Cuts generated text at the first stop string. Text that may be the beginning of one is held back,
 * so that nothing of a stop string is ever sent.
 */
export class StopStrings {
  readonly #stops: readonly string[]
  /** Text not released yet: shorter than the longest stop string. */
  #held = ''

  constructor(stops: readonly string[]) {
    this.#stops = stops
  }

  /** Text that may go out now, and whether a stop string ended the generation. */
  push(text: string): { readonly text: string; readonly stopped: boolean } {
    if (this.#stops.length === 0) return { text, stopped: false }
    const pending = this.#held + text
    const cut = this.#firstStop(pending)
    if (cut !== -1) {
      this.#held = ''
      return { text: pending.slice(0, cut), stopped: true }
    }
    const releasable = pending.length - this.#longestBeginning(pending)
    this.#held = pending.slice(releasable)
    return { text: pending.slice(0, releasable), stopped: false }
  }

  /** The text still held back when the generation ends without a stop string. */
  flush(): string {
    const text = this.#held
    this.#held = ''
    return text
  }

  #firstStop(text: string): number {
    const found = this.#stops.map((stop) => text.indexOf(stop)).filter((at) => at !== -1)
    return found.length === 0 ? -1 : Math.min(...found)
  }

  /** Length of the longest end of `text` that some stop string begins with. */
  #longestBeginning(text: string): number {
    let longest = 0
    for (const stop of this.#stops) {
      for (let n = Math.min(stop.length - 1, text.length); n > longest; n--) {
        if (stop.startsWith(text.slice(text.length - n))) longest = n
      }
    }
    return longest
  }
}
