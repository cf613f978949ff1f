/** Finds a token's id by its text: a hash table over a TokenTable, without a string for each token. */
import { hashOf, type TokenTable } from './token-table.ts'

export class TokenIndex {
  readonly #table: TokenTable
  /** Ids by hash, the next free place for those that fall on a taken one; -1: free. */
  readonly #places: Int32Array
  /** No file can have texts that all fall on one place. */
  readonly #seed = Math.floor(Math.random() * 2 ** 32)

  constructor(table: TokenTable) {
    this.#table = table
    // At least half of the places stay free.
    this.#places = new Int32Array(2 ** Math.ceil(Math.log2(2 * table.size + 1))).fill(-1)
  }

  /** Makes the token `id` of the table known. @returns false where another has this text already: that one stays */
  add(id: number): boolean {
    const table = this.#table
    const place = this.#find(table.hash(id, this.#seed), (other) => table.areEqual(id, other))
    if (this.#places[place] !== -1) return false
    this.#places[place] = id
    return true
  }

  idOf(text: string): number | undefined {
    return this.idAt(text, 0, text.length)
  }

  /** The token whose text stands from `start` to `end`. */
  idAt(text: string, start: number, end: number): number | undefined {
    const place = this.#find(hashOf(text, start, end, this.#seed), (id) =>
      this.#table.equals(id, text, start, end),
    )
    const id = this.#places[place]!
    return id === -1 ? undefined : id
  }

  /** Where the token that `isIt` accepts is, or would be. */
  #find(hash: number, isIt: (id: number) => boolean): number {
    const mask = this.#places.length - 1
    for (let place = hash & mask; ; place = (place + 1) & mask) {
      const id = this.#places[place]!
      if (id === -1 || isIt(id)) return place
    }
  }
}
