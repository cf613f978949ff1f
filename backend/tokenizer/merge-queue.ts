/** The queue of possible merges of a BPE: the highest score first, of equal ones the leftmost. */

/** A binary heap over columns, since a long text has many hundred thousand candidates. */
export class MergeQueue {
  readonly #scores: number[] = []
  readonly #lefts: number[] = []
  readonly #rights: number[] = []
  readonly #lengths: number[] = []

  get size(): number {
    return this.#scores.length
  }

  /** @param length of the merged text: tells later whether `left` and `right` are still what they were */
  push(score: number, left: number, right: number, length: number): void {
    this.#scores.push(score)
    this.#lefts.push(left)
    this.#rights.push(right)
    this.#lengths.push(length)
    let at = this.size - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!this.#isBefore(at, parent)) return
      this.#swap(at, parent)
      at = parent
    }
  }

  /** Takes the first merge away; undefined when empty. */
  pop(): { left: number; right: number; length: number } | undefined {
    if (this.size === 0) return undefined
    this.#swap(0, this.size - 1)
    this.#scores.pop()
    const left = this.#lefts.pop()!
    const right = this.#rights.pop()!
    const length = this.#lengths.pop()!
    for (let at = 0; ;) {
      let first = at
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < this.size && this.#isBefore(child, first)) first = child
      }
      if (first === at) return { left, right, length }
      this.#swap(at, first)
      at = first
    }
  }

  #isBefore(a: number, b: number): boolean {
    const difference = this.#scores[a]! - this.#scores[b]!
    return difference > 0 || (difference === 0 && this.#lefts[a]! < this.#lefts[b]!)
  }

  #swap(a: number, b: number): void {
    for (const column of [this.#scores, this.#lefts, this.#rights, this.#lengths]) {
      const kept = column[a]!
      column[a] = column[b]!
      column[b] = kept
    }
  }
}
