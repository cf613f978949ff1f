/** When SYNC is due: every `syncMs`, and only from an end that has streams to name. */
export class SyncClock {
  readonly #everyMs: number
  #last: number

  constructor(everyMs: number, now: number) {
    this.#everyMs = everyMs
    this.#last = now
  }

  isDue(now: number, hasStreams: boolean): boolean {
    if (!hasStreams || now - this.#last < this.#everyMs) return false
    this.#last = now
    return true
  }
}
