/**
 * The KV cache: keys and values of every layer, for a fixed number of slots. A slot holds one
 * sequence; neighbouring slots are rows of a batch without a copy.
 */
import type { Manifest } from './manifest.ts'

export type KvCacheSizes = Pick<Manifest, 'numLayers' | 'numKvHeads' | 'headDim'> & {
  readonly slots: number
  /** Positions of a slot. */
  readonly capacity: number
}

/** What a token takes in all layers together. */
export const bytesPerToken = ({
  numLayers,
  numKvHeads,
  headDim,
}: Pick<Manifest, 'numLayers' | 'numKvHeads' | 'headDim'>): number =>
  2 * numLayers * numKvHeads * headDim * Float32Array.BYTES_PER_ELEMENT

type LayerCache = {
  /** [slots, numKvHeads, capacity, headDim] */
  readonly keys: Float32Array
  /** [slots, numKvHeads, capacity, headDim] */
  readonly values: Float32Array
}

/** A batch's rows of one layer, in the cache's own memory. */
export type LayerRows = LayerCache & {
  /** [rows, numKvHeads, capacity, headDim] */
  readonly dims: readonly [number, number, number, number]
}

export class KvCache {
  readonly #sizes: KvCacheSizes
  readonly #layers: readonly LayerCache[]

  /** Memory that no token was written to yet costs nothing. */
  constructor(sizes: KvCacheSizes) {
    this.#sizes = sizes
    const length = sizes.slots * this.#slotLength
    this.#layers = Array.from({ length: sizes.numLayers }, () => ({
      keys: new Float32Array(length),
      values: new Float32Array(length),
    }))
  }

  /** Each layer's slots from `firstSlot` on. */
  rows(firstSlot: number, numRows: number): LayerRows[] {
    const { numKvHeads, capacity, headDim } = this.#sizes
    const begin = firstSlot * this.#slotLength
    const end = begin + numRows * this.#slotLength
    return this.#layers.map(({ keys, values }) => ({
      keys: keys.subarray(begin, end),
      values: values.subarray(begin, end),
      dims: [numRows, numKvHeads, capacity, headDim],
    }))
  }

  /** Copies the first `length` positions of a slot to another. */
  copySlot(from: number, to: number, length: number): void {
    const { numKvHeads, capacity, headDim } = this.#sizes
    const headLength = capacity * headDim
    for (const { keys, values } of this.#layers) {
      for (let head = 0; head < numKvHeads; head++) {
        const source = from * this.#slotLength + head * headLength
        const target = to * this.#slotLength + head * headLength
        keys.copyWithin(target, source, source + length * headDim)
        values.copyWithin(target, source, source + length * headDim)
      }
    }
  }

  /** Exchanges the first `length` positions of two slots. */
  swapSlots(a: number, b: number, length: number): void {
    const { numKvHeads, capacity, headDim } = this.#sizes
    const headLength = capacity * headDim
    const ofA = new Float32Array(length * headDim)
    for (const { keys, values } of this.#layers) {
      for (let head = 0; head < numKvHeads; head++) {
        const atA = a * this.#slotLength + head * headLength
        const atB = b * this.#slotLength + head * headLength
        for (const rows of [keys, values]) {
          ofA.set(rows.subarray(atA, atA + ofA.length))
          rows.copyWithin(atA, atB, atB + ofA.length)
          rows.set(ofA, atB)
        }
      }
    }
  }

  get #slotLength(): number {
    const { numKvHeads, capacity, headDim } = this.#sizes
    return numKvHeads * capacity * headDim
  }
}
