/**
 * How many failed attempts to connect an address has. Successes cost nothing: a thousand backends
 * behind one address may come back at once.
 */

export type AttemptLimitOptions = {
  /** Failures in a row before the address must wait. */
  readonly burst?: number
  /** One more attempt is allowed each so many ms. */
  readonly refillMs?: number
  /** Addresses that are remembered; the one that failed longest ago is forgotten first. */
  readonly maxAddresses?: number
  /** Monotonic clock, ms. */
  readonly now?: () => number
}

type Bucket = {
  /** Attempts left, when it was last looked at. */
  readonly attempts: number
  readonly atMs: number
}

export class AttemptLimit {
  readonly #burst: number
  readonly #refillMs: number
  readonly #maxAddresses: number
  readonly #now: () => number
  readonly #buckets = new Map<string, Bucket>() // the latest failure last; full ones are left out

  constructor({ burst, refillMs, maxAddresses, now }: AttemptLimitOptions = {}) {
    this.#burst = burst ?? 10
    this.#refillMs = refillMs ?? 6_000
    this.#maxAddresses = maxAddresses ?? 4_096
    this.#now = now ?? (() => performance.now())
  }

  /** How long the address must wait; 0: not at all. */
  waitMs(address: string): number {
    const attempts = this.#attempts(address)
    return attempts >= 1 ? 0 : Math.ceil((1 - attempts) * this.#refillMs)
  }

  failed(address: string): void {
    const attempts = Math.max(0, this.#attempts(address) - 1)
    this.#buckets.delete(address)
    this.#buckets.set(address, { attempts, atMs: this.#now() })
    for (const oldest of this.#buckets.keys()) {
      if (this.#buckets.size <= this.#maxAddresses) break
      this.#buckets.delete(oldest)
    }
  }

  /** Addresses that are remembered. */
  get size(): number {
    return this.#buckets.size
  }

  #attempts(address: string): number {
    const bucket = this.#buckets.get(address)
    if (!bucket) return this.#burst
    const attempts = bucket.attempts + (this.#now() - bucket.atMs) / this.#refillMs
    if (attempts < this.#burst) return attempts
    this.#buckets.delete(address)
    return this.#burst
  }
}
