/** A set of strings that finds those which begin at a place of a text, by one walk over it. */

/** Strings are numbered by the caller; where one is added twice, the first number stays. */
export class StringTrie {
  /** From node × 65536 + UTF-16 code unit to the next node: one map is far smaller than one a node. */
  readonly #edges = new Map<number, number>()
  readonly #numbers: number[] = [-1]

  /** @param string not empty; @param number 0 or more */
  add(string: string, number: number): void {
    let node = 0
    for (let at = 0; at < string.length; at += 1) {
      const edge = node * 65536 + string.charCodeAt(at)
      let next = this.#edges.get(edge)
      if (next === undefined) {
        next = this.#numbers.push(-1) - 1
        this.#edges.set(edge, next)
      }
      node = next
    }
    if (this.#numbers[node] === -1) this.#numbers[node] = number
  }

  /** Calls `found` for every string that stands at `start`, the shortest first; `end` is exclusive. */
  matchesAt(text: string, start: number, found: (number: number, end: number) => void): void {
    let node = 0
    for (let at = start; at < text.length; at += 1) {
      const next = this.#edges.get(node * 65536 + text.charCodeAt(at))
      if (next === undefined) return
      node = next
      const number = this.#numbers[node]!
      if (number !== -1) found(number, at + 1)
    }
  }

  /** The longest string that stands at `start`. */
  longestAt(text: string, start: number): { number: number; end: number } | undefined {
    let longest: { number: number; end: number } | undefined
    this.matchesAt(text, start, (number, end) => (longest = { number, end }))
    return longest
  }
}
