/** Finds a token's id by its text: a hash table over a TokenTable, without a string for each token. */
import type { TokenTable } from './token-table.ts'

export class TokenIndex {
  readonly #table: TokenTable
  /** Ids by hash, the next free place for those that fall on a taken one; -1: free. */
  readonly #places: Int32Array
  /** No file can have texts that all fall on one place. */
  readonly #seed = Math.floor(Math.random() * 2 ** 32)

  /** @param maxTokens that are added at most */
  constructor(table: TokenTable, maxTokens = table.size) {
    this.#table = table
    // At least half of the places stay free.
    this.#places = new Int32Array(2 ** Math.ceil(Math.log2(2 * maxTokens + 1))).fill(-1)
  }

  /** Makes the token `id` of the table known. @returns false where another has this text already: that one stays */
  add(id: number): boolean {
    const text = this.#table.text(id) ?? ''
    const place = this.#placeOf(text, 0, text.length)
    if (this.#places[place] !== -1) return false
    this.#places[place] = id
    return true
  }

  idOf(text: string): number | undefined {
    return this.idAt(text, 0, text.length)
  }

  /** The token whose text stands from `start` to `end`. */
  idAt(text: string, start: number, end: number): number | undefined {
    const id = this.#places[this.#placeOf(text, start, end)]!
    return id === -1 ? undefined : id
  }

  /** Where the text is, or would be. */
  #placeOf(text: string, start: number, end: number): number {
    const mask = this.#places.length - 1
    let hash = this.#seed
    for (let at = start; at < end; at++) {
      hash = Math.imul(hash ^ text.charCodeAt(at), 0x9e3779b1)
      hash ^= hash >>> 15
    }
    let place = hash & mask
    for (;;) {
      const id = this.#places[place]!
      if (id === -1 || this.#table.equals(id, text, start, end)) return place
      place = (place + 1) & mask
    }
  }
}
