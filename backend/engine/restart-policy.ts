/** When an engine that died is started again, and when no longer. Pure: the time comes in. */

export type RestartLimits = {
  /** Restarts within `withinMs` at most. */
  readonly maxRestarts: number
  readonly withinMs: number
  /** Wait before the first restart in a while; it doubles with each one up to `maxBackoffMs`. */
  readonly firstBackoffMs: number
  readonly maxBackoffMs: number
}

/**
 * One death now and then costs a second. What dies again and again will not be cured by a restart of
 * the thread: then the process ends, and whoever supervises it sees why.
 */
export const defaultRestartLimits: RestartLimits = {
  maxRestarts: 5,
  withinMs: 10 * 60_000,
  firstBackoffMs: 200,
  maxBackoffMs: 10_000,
}

export class RestartPolicy {
  readonly #limits: RestartLimits
  /** When engines died, oldest first. */
  #deaths: number[] = []

  constructor(limits: RestartLimits) {
    this.#limits = limits
  }

  /**
   * The engine has died, or could not be started again.
   * @param nowMs of a clock that never goes back
   * @returns how long to wait before the next start; null: too many have died
   */
  died(nowMs: number): number | null {
    const { maxRestarts, withinMs, firstBackoffMs, maxBackoffMs } = this.#limits
    this.#deaths = [...this.#deaths.filter((death) => nowMs - death < withinMs), nowMs]
    const count = this.#deaths.length
    if (count > maxRestarts) return null
    return Math.min(maxBackoffMs, firstBackoffMs * 2 ** (count - 1))
  }

  /** What to tell when {@link died} said null. @param reason of the last death */
  givenUp(reason: Error): Error {
    const minutes = Math.round(this.#limits.withinMs / 60_000)
    const count = this.#deaths.length
    const message = `the engine has died ${count} times within ${minutes} minutes, last because of: ${reason.message}`
    return new Error(message, { cause: reason })
  }
}
