/**
 * Who is admitted next: by priority, then by arrival. Every eighth place goes to whoever has waited
 * longest, whatever its priority, so that nobody waits for ever behind more important requests.
 */
export type Waiting = {
  readonly priority: number
  /** Unique; lower came earlier. */
  readonly arrival: number
}

const admissionsPerEldest = 8

export class WaitingQueue<T extends Waiting> {
  /** First is next. */
  readonly #entries: T[] = []
  #takenSinceEldest = 0

  get length(): number {
    return this.#entries.length
  }

  /** Puts it where its priority and arrival belong: one that comes back is not set back. */
  add(entry: T): void {
    let [low, high] = [0, this.#entries.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      const other = this.#entries[middle]
      if (other !== undefined && compare(other, entry) < 0) low = middle + 1
      else high = middle
    }
    this.#entries.splice(low, 0, entry)
  }

  /** The most important one. */
  get head(): T | undefined {
    return this.#entries[0]
  }

  /** Those for whom the next `count` places are. */
  next(count: number): readonly T[] {
    if (count <= 0) return []
    const eldest = this.#dueEldest()
    if (eldest === null) return this.#entries.slice(0, count)
    const others = this.#entries.slice(0, count).filter((entry) => entry !== eldest)
    return [eldest, ...others.slice(0, count - 1)]
  }

  /** It is admitted. @returns whether it owes that to its long wait alone */
  take(entry: T): boolean {
    const isFavoured = this.#dueEldest() === entry && this.head !== entry
    this.#takenSinceEldest = entry === this.#eldest() ? 0 : this.#takenSinceEldest + 1
    this.remove(entry)
    return isFavoured
  }

  remove(entry: T): void {
    const index = this.#entries.indexOf(entry)
    if (index !== -1) this.#entries.splice(index, 1)
  }

  #dueEldest(): T | null {
    return this.#takenSinceEldest < admissionsPerEldest - 1 ? null : this.#eldest()
  }

  #eldest(): T | null {
    let eldest: T | null = null
    for (const entry of this.#entries) {
      if (eldest === null || entry.arrival < eldest.arrival) eldest = entry
    }
    return eldest
  }
}

const compare = (a: Waiting, b: Waiting): number => a.priority - b.priority || a.arrival - b.arrival
