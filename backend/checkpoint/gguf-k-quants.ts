/** Turns ggml's K-quants into float32: blocks of 256 values whose parts have scales of their own. */
import type { Dequantize } from './gguf-quants.ts'

const blockValues = 256

/** Six-bit scales (0 to 7) and minimums (8 to 15) of a block's eight parts, from their 12 bytes. */
const readScales = (bytes: Uint8Array, at: number, scales: Uint8Array): void => {
  for (let i = 0; i < 4; i++) {
    const scale = bytes[at + i]!
    const minimum = bytes[at + 4 + i]!
    const rest = bytes[at + 8 + i]!
    scales[i] = scale & 63
    scales[i + 8] = minimum & 63
    scales[i + 4] = (rest & 15) | ((scale >> 6) << 4)
    scales[i + 12] = (rest >> 4) | ((minimum >> 6) << 4)
  }
}

/**
 * [scale f16][minimum's scale f16][12 bytes of scales][128 bytes of nibbles]. 32 bytes hold a part
 * in their lower and the part after it in their upper nibbles: scale · q - minimum.
 */
export const dequantizeQ4K: Dequantize = (bytes, values) => {
  const halves = new Float16Array(bytes.buffer, 0, bytes.length / 2)
  const scales = new Uint8Array(16)
  for (let at = 0, out = 0; out < values.length; at += 144, out += blockValues) {
    const scale = halves[at / 2]!
    const minimumScale = halves[at / 2 + 1]!
    readScales(bytes, at + 4, scales)
    for (let part = 0; part < 8; part++) {
      const partScale = scale * scales[part]!
      const minimum = minimumScale * scales[part + 8]!
      const from = at + 16 + (part >> 1) * 32
      const shift = (part & 1) * 4
      const to = out + part * 32
      for (let i = 0; i < 32; i++) {
        values[to + i] = partScale * ((bytes[from + i]! >> shift) & 15) - minimum
      }
    }
  }
}

/** As Q4_K, with 32 bytes between scales and nibbles: bit p of byte i is value i's fifth in part p. */
export const dequantizeQ5K: Dequantize = (bytes, values) => {
  const halves = new Float16Array(bytes.buffer, 0, bytes.length / 2)
  const scales = new Uint8Array(16)
  for (let at = 0, out = 0; out < values.length; at += 176, out += blockValues) {
    const scale = halves[at / 2]!
    const minimumScale = halves[at / 2 + 1]!
    readScales(bytes, at + 4, scales)
    for (let part = 0; part < 8; part++) {
      const partScale = scale * scales[part]!
      const minimum = minimumScale * scales[part + 8]!
      const from = at + 48 + (part >> 1) * 32
      const shift = (part & 1) * 4
      const to = out + part * 32
      for (let i = 0; i < 32; i++) {
        const high = ((bytes[at + 16 + i]! >> part) & 1) << 4
        values[to + i] = partScale * (((bytes[from + i]! >> shift) & 15) | high) - minimum
      }
    }
  }
}

/**
 * [128 bytes of lower nibbles][64 bytes of upper bit pairs][16 scales i8][scale f16]. Each half of
 * the block has four rows of 32 values: nibbles of rows 0 and 2, 1 and 3 share 32 bytes, the pairs
 * of all four share 32 bytes; a scale is of 16 values: scale · (q - 32).
 */
export const dequantizeQ6K: Dequantize = (bytes, values) => {
  const halves = new Float16Array(bytes.buffer, 0, bytes.length / 2)
  const signed = new Int8Array(bytes.buffer, 0, bytes.length)
  for (let at = 0, out = 0; out < values.length; at += 210, out += blockValues) {
    const scale = halves[at / 2 + 104]!
    for (let part = 0; part < 16; part++) {
      const row = part >> 1
      const inRow = (part & 1) * 16
      const half = row >> 2
      const low = at + half * 64 + (row & 1) * 32 + inRow
      const lowShift = ((row & 3) >> 1) * 4
      const high = at + 128 + half * 32 + inRow
      const highShift = (row & 3) * 2
      const to = out + part * 16
      const partScale = scale * signed[at + 192 + part]!
      for (let i = 0; i < 16; i++) {
        const bits =
          ((bytes[low + i]! >> lowShift) & 15) | (((bytes[high + i]! >> highShift) & 3) << 4)
        values[to + i] = partScale * (bits - 32)
      }
    }
  }
}
