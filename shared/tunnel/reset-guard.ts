/**
 * Counts the accepted streams that a backend resets against those that it accepted: where most fail
 * like that, the connection is no use. SPEC.md, "Resets".
 */
import { limits } from './limits.ts'

export class ResetGuard {
  readonly #windowMs: number
  readonly #now: () => number
  #since: number
  #numAccepted = 0
  #numReset = 0

  constructor(windowMs: number, now: () => number) {
    this.#windowMs = windowMs
    this.#now = now
    this.#since = now()
  }

  accepted(): void {
    this.#startWindow()
    this.#numAccepted++
  }

  /** Whether the backend has gone too far. */
  reset(): boolean {
    this.#startWindow()
    this.#numReset++
    return this.#numReset > limits.resets && this.#numReset > this.#numAccepted / 2
  }

  #startWindow(): void {
    const now = this.#now()
    if (now - this.#since < this.#windowMs) return
    this.#since = now
    this.#numAccepted = 0
    this.#numReset = 0
  }
}
