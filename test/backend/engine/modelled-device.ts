/**
 * A device that a test can look into: each row of a slot is a hash of the salt and of all tokens up to
 * its own, so that a row of another beginning, or of another tenant, is never taken for the right one.
 */
import type { SlotRows } from '../../../backend/engine/cache-slots.ts'
import type { ScheduledSequence } from '../../../backend/engine/scheduled-sequence.ts'

const mix = (hash: number, token: number): number => {
  const mixed = Math.imul(hash ^ token, 0x9e3779b1)
  return mixed ^ (mixed >>> 15)
}

const seedOf = (salt: string): number =>
  Array.from(salt).reduce((hash, letter) => mix(hash, letter.charCodeAt(0)), 17)

/** The token that follows, whatever the salt: what every schedule must come to. */
export const nextToken = (tokens: readonly number[]): number => Math.abs(tokens.reduce(mix, 29)) % 5

export class ModelledDevice implements SlotRows {
  readonly #slots: Int32Array[]

  constructor(numSlots: number, capacity: number) {
    this.#slots = Array.from({ length: numSlots }, () => new Int32Array(capacity))
  }

  copySlot(from: number, to: number, length: number): void {
    this.#slot(to).set(this.#slot(from).subarray(0, length))
  }

  swapSlots(a: number, b: number, length: number): void {
    const rows = this.#slot(a).slice(0, length)
    this.copySlot(b, a, length)
    this.#slot(b).set(rows)
  }

  /**
   * Computes tokens of the sequence from `cachedTokens` on.
   * @throws Error when the rows before them are not its own
   */
  run(slot: number, { tokens, cachedTokens, cacheSalt }: ScheduledSequence, count: number): void {
    const rows = this.#slot(slot)
    let hash = seedOf(cacheSalt)
    for (let i = 0; i < cachedTokens + count; i++) {
      hash = mix(hash, tokens[i] ?? Number.NaN)
      if (i >= cachedTokens) rows[i] = hash
      else if (rows[i] !== hash) throw new Error(`row ${i} of slot ${slot} is not the sequence's`)
    }
  }

  #slot(index: number): Int32Array {
    const slot = this.#slots[index]
    if (slot === undefined) throw new Error(`there is no slot ${index}`)
    return slot
  }
}
