/**
 * The number formats that weights are stored in: how many bytes they take, and how they become
 * float32. Values of a quantised type lie in blocks along a row; the other types are blocks of one.
 */
import { dequantizers, type QuantizedType } from './gguf-quants.ts'

export type WeightType = 'F32' | 'F16' | 'BF16' | QuantizedType

type Layout = { readonly blockValues: number; readonly blockBytes: number }

/** Sizes of the quantised types as in ggml's `ggml-common.h`. */
const layouts: Readonly<Record<WeightType, Layout>> = {
  F32: { blockValues: 1, blockBytes: 4 },
  F16: { blockValues: 1, blockBytes: 2 },
  BF16: { blockValues: 1, blockBytes: 2 },
  Q4_0: { blockValues: 32, blockBytes: 18 },
  Q4_1: { blockValues: 32, blockBytes: 20 },
  Q5_0: { blockValues: 32, blockBytes: 22 },
  Q5_1: { blockValues: 32, blockBytes: 24 },
  Q8_0: { blockValues: 32, blockBytes: 34 },
  Q4_K: { blockValues: 256, blockBytes: 144 },
  Q5_K: { blockValues: 256, blockBytes: 176 },
  Q6_K: { blockValues: 256, blockBytes: 210 },
}

export const isWeightType = (name: string): name is WeightType => Object.hasOwn(layouts, name)

export const weightTypes: readonly string[] = Object.keys(layouts)

/** The bytes of `numValues` values in a row, or null when they are no whole number of blocks. */
export const bytesOf = (type: WeightType, numValues: number): number | null => {
  const { blockValues, blockBytes } = layouts[type]
  return numValues % blockValues === 0 ? (numValues / blockValues) * blockBytes : null
}

/**
 * @param bytes whole blocks from the start of their buffer, little-endian; F32 shares its memory
 * @param scratch is overwritten with the values where it is large enough, which spares new memory
 */
export const toFloat32 = (
  type: WeightType,
  bytes: Uint8Array<ArrayBuffer>,
  scratch?: Float32Array<ArrayBuffer>,
): Float32Array<ArrayBuffer> => {
  const { blockValues, blockBytes } = layouts[type]
  const numValues = (bytes.length / blockBytes) * blockValues
  if (type === 'F32') return new Float32Array(bytes.buffer, 0, numValues)
  const isEnough = scratch !== undefined && scratch.length >= numValues
  const values = isEnough ? scratch.subarray(0, numValues) : new Float32Array(numValues)
  if (type === 'F16') values.set(new Float16Array(bytes.buffer, 0, numValues))
  else if (type === 'BF16') bfloat16ToFloat32(new Uint16Array(bytes.buffer, 0, numValues), values)
  else dequantizers[type](bytes, values)
  return values
}

/** bfloat16 is the upper half of a float32. */
const bfloat16ToFloat32 = (halves: Uint16Array, values: Float32Array): void => {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length)
  for (let i = 0; i < halves.length; i++) words[i] = halves[i]! << 16
}
