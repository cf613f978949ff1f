/**
 * Cuts generated text at the first stop string. Text that may be the beginning of one is held back,
 * so that nothing of a stop string is sent that is not to be kept.
 */
export class StopStrings {
  readonly #stops: readonly string[]
  readonly #keepsStop: boolean
  /** Text not released yet: shorter than the longest stop string. */
  #held = ''
  /** Characters of it, from the first on, in which no stop string may end. */
  #exempt = 0

  /** @param keepsStop whether the stop string itself stays in the text */
  constructor(stops: readonly string[], keepsStop = false) {
    this.#stops = stops
    this.#keepsStop = keepsStop
  }

  /**
   * @param mayStop false: no stop string that ends within this text counts
   * @returns text that may go out now, and whether a stop string ended the generation
   */
  push(text: string, mayStop = true): { readonly text: string; readonly stopped: boolean } {
    if (this.#stops.length === 0) return { text, stopped: false }
    const pending = this.#held + text
    if (!mayStop) this.#exempt = pending.length
    const cut = this.#cutOf(pending)
    if (cut !== null) {
      this.#held = ''
      return { text: pending.slice(0, cut), stopped: true }
    }
    const releasable = pending.length - this.#longestBeginning(pending)
    this.#held = pending.slice(releasable)
    this.#exempt = Math.max(0, this.#exempt - releasable)
    return { text: pending.slice(0, releasable), stopped: false }
  }

  /** The text still held back when the generation ends without a stop string. */
  flush(): string {
    const text = this.#held
    this.#held = ''
    return text
  }

  /** Where the text ends if it has a stop string: at the one that begins first, of those the shortest. */
  #cutOf(text: string): number | null {
    let begin = text.length
    let end = text.length
    for (const stop of this.#stops) {
      const at = text.indexOf(stop, Math.max(0, this.#exempt - stop.length + 1))
      if (at === -1 || at > begin || (at === begin && at + stop.length > end)) continue
      begin = at
      end = at + stop.length
    }
    if (begin === text.length) return null
    return this.#keepsStop ? end : begin
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
