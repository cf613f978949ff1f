/**
 * Where a prompt's beginning was probably computed before. Remembers where beginnings were sent, up to
 * a limit; what it does not know falls to the backend that the beginning's hash favours, so that
 * gateways which know nothing of each other choose alike.
 */
import { hashText } from './hash.ts'

/** Some 5,000 chats; an entry takes about 100 bytes. */
const defaultLimit = 16_384

export class PrefixAffinity {
  readonly #limit: number
  readonly #homes = new Map<number, string>() // backend id by prefix; the latest last

  constructor(limit = defaultLimit) {
    this.#limit = limit
  }

  /**
   * The backends to prefer, the best first; perhaps with repetitions.
   * @param prefixes of one prompt, the longest first
   */
  *favourites(prefixes: readonly number[], backendIds: readonly string[]): Generator<string> {
    for (const prefix of prefixes) {
      const home = this.#homes.get(prefix)
      if (home !== undefined && backendIds.includes(home)) yield home
    }
    for (const prefix of prefixes) {
      const chosen = rendezvous(prefix, backendIds)
      if (chosen !== null) yield chosen
    }
  }

  /** A prompt with these beginnings is sent to the backend. */
  sent(prefixes: readonly number[], backendId: string): void {
    for (const prefix of prefixes) {
      this.#homes.delete(prefix)
      this.#homes.set(prefix, backendId)
    }
    for (const oldest of this.#homes.keys()) {
      if (this.#homes.size <= this.#limit) break
      this.#homes.delete(oldest)
    }
  }

  /** Beginnings that are remembered. */
  get size(): number {
    return this.#homes.size
  }
}

/**
 * The backend with the highest hash together with the prefix: when one leaves, only what it had moves,
 * and in equal parts to all others. Null of none.
 */
export const rendezvous = (prefix: number, backendIds: readonly string[]): string | null => {
  let best: string | null = null
  let bestScore = -1
  for (const backendId of backendIds) {
    const score = hashText(`${prefix}/${backendId}`)
    if (score > bestScore) {
      best = backendId
      bestScore = score
    }
  }
  return best
}
