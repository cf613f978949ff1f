/**
 * Keeps traffic off a backend that comes and goes: what is sent to it is cut again and again. Pure: the
 * clock comes in.
 */

/** So many losses within `windowMs` are flapping. */
const maxLosses = 3
const windowMs = 60_000
/** All connections of a backend break together where its network does: that is one loss. */
const burstMs = 1_000
/** The first penalty; each further loss doubles it. */
const firstPenaltyMs = 10_000
const maxPenaltyMs = 300_000

export class FlapGuard {
  #losses: number[] = [] // ms, those of the last minute
  #penaltyMs = 0
  #untilMs = 0

  /** A connection was lost that nobody had announced the end of. */
  lost(nowMs: number): void {
    const last = this.#losses.at(-1)
    if (last !== undefined && nowMs - last < burstMs) return
    if (!this.#isRemembered(nowMs)) this.#penaltyMs = 0
    this.#losses = [...this.#losses.filter((at) => nowMs - at < windowMs), nowMs].slice(-maxLosses)
    if (this.#losses.length < maxLosses && this.#penaltyMs === 0) return
    this.#penaltyMs = Math.min(maxPenaltyMs, Math.max(firstPenaltyMs, 2 * this.#penaltyMs))
    this.#untilMs = nowMs + this.#penaltyMs
  }

  /** Whether the backend should be left alone for now. */
  isFlapping(nowMs: number): boolean {
    return nowMs < this.#untilMs
  }

  /** Whether there is nothing to remember of it. */
  isClear(nowMs: number): boolean {
    return !this.#isRemembered(nowMs)
  }

  /** Penalties grow as long as the losses go on, penalties' own times aside. */
  #isRemembered(nowMs: number): boolean {
    const last = this.#losses.at(-1)
    return last !== undefined && nowMs - Math.max(last, this.#untilMs) < windowMs
  }
}
