/**
 * The KV cache: keys and values of every layer, for a fixed number of slots. A slot holds one
 * sequence; neighbouring slots are rows of a batch without a copy.
 */
import { cacheBytes, type CacheDtype, type LayerScales } from './cache-dtype.ts'
import type { Manifest } from './manifest.ts'

export type KvCacheSizes = Pick<Manifest, 'numLayers' | 'numKvHeads' | 'headDim'> & {
  readonly dtype: CacheDtype
  readonly slots: number
  /** Positions of a slot. */
  readonly capacity: number
}

/** What a token takes in all layers and ranks together; each rank has a head at least. */
export const bytesPerToken = (
  {
    numLayers,
    numKvHeads,
    headDim,
    tensorParallelSize,
  }: Pick<Manifest, 'numLayers' | 'numKvHeads' | 'headDim' | 'tensorParallelSize'>,
  dtype: CacheDtype,
): number => 2 * numLayers * Math.max(numKvHeads, tensorParallelSize) * headDim * cacheBytes[dtype]

type CacheArray = Float32Array | Int8Array

type LayerCache = {
  /** [slots, numKvHeads, capacity, headDim] */
  readonly keys: CacheArray
  /** [slots, numKvHeads, capacity, headDim] */
  readonly values: CacheArray
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
      keys: this.#array(length),
      values: this.#array(length),
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
    const ofA = this.#array(length * headDim)
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

  /**
   * The largest magnitudes of each channel in the first `length` positions of a slot: a layer's keys and
   * values, [numKvHeads, headDim] each.
   */
  maxima(slot: number, length: number): LayerScales[] {
    const { numKvHeads, capacity, headDim } = this.#sizes
    const maximaOf = (rows: CacheArray): Float32Array => {
      const maxima = new Float32Array(numKvHeads * headDim)
      for (let head = 0; head < numKvHeads; head++) {
        const begin = slot * this.#slotLength + head * capacity * headDim
        for (let i = 0; i < length * headDim; i++) {
          const channel = head * headDim + (i % headDim)
          maxima[channel] = Math.max(maxima[channel]!, Math.abs(rows[begin + i]!))
        }
      }
      return maxima
    }
    return this.#layers.map(({ keys, values }) => ({
      keys: maximaOf(keys),
      values: maximaOf(values),
    }))
  }

  #array(length: number): CacheArray {
    return this.#sizes.dtype === 'int8' ? new Int8Array(length) : new Float32Array(length)
  }

  get #slotLength(): number {
    const { numKvHeads, capacity, headDim } = this.#sizes
    return numKvHeads * capacity * headDim
  }
}
