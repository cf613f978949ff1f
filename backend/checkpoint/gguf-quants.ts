/**
 * Turns ggml's quantised blocks into float32. The formulas are those of ggml's reference
 * (`dequantize_row_*` in ggml-quants.c). A product of a half-precision scale and a few bits is exact
 * in double, so storing it rounds once: where the reference computes in float32, so does this.
 */
import { dequantizeQ4K, dequantizeQ5K, dequantizeQ6K } from './gguf-k-quants.ts'

export type QuantizedType = keyof typeof dequantizers

/**
 * @param bytes whole blocks from the start of their buffer
 * @param values as many as the blocks have
 */
export type Dequantize = (bytes: Uint8Array<ArrayBuffer>, values: Float32Array) => void

const blockValues = 32

/** [scale f16][nibble of value i and, above it, of value i + 16]: scale · (q - 8). */
const dequantizeQ4_0: Dequantize = (bytes, values) => {
  const scales = new Float16Array(bytes.buffer, 0, bytes.length / 2)
  for (let at = 0, out = 0; out < values.length; at += 18, out += blockValues) {
    const scale = scales[at / 2]!
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + 2 + i]!
      values[out + i] = scale * ((pair & 15) - 8)
      values[out + i + 16] = scale * ((pair >> 4) - 8)
    }
  }
}

/** [scale f16][minimum f16][nibbles as in Q4_0]: scale · q + minimum. */
const dequantizeQ4_1: Dequantize = (bytes, values) => {
  const halves = new Float16Array(bytes.buffer, 0, bytes.length / 2)
  for (let at = 0, out = 0; out < values.length; at += 20, out += blockValues) {
    const scale = halves[at / 2]!
    const minimum = halves[at / 2 + 1]!
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + 4 + i]!
      values[out + i] = scale * (pair & 15) + minimum
      values[out + i + 16] = scale * (pair >> 4) + minimum
    }
  }
}

/** The four bytes from `at` on: bit i is the fifth bit of value i. */
const fifthBits = (bytes: Uint8Array, at: number): number =>
  bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)

/** [scale f16][fifth bits u32][nibbles as in Q4_0]: scale · (q - 16). */
const dequantizeQ5_0: Dequantize = (bytes, values) => {
  const scales = new Float16Array(bytes.buffer, 0, bytes.length / 2)
  for (let at = 0, out = 0; out < values.length; at += 22, out += blockValues) {
    const scale = scales[at / 2]!
    const high = fifthBits(bytes, at + 2)
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + 6 + i]!
      values[out + i] = scale * (((pair & 15) | (((high >>> i) & 1) << 4)) - 16)
      values[out + i + 16] = scale * (((pair >> 4) | (((high >>> (i + 16)) & 1) << 4)) - 16)
    }
  }
}

/** [scale f16][minimum f16][fifth bits u32][nibbles as in Q4_0]: scale · q + minimum. */
const dequantizeQ5_1: Dequantize = (bytes, values) => {
  const halves = new Float16Array(bytes.buffer, 0, bytes.length / 2)
  for (let at = 0, out = 0; out < values.length; at += 24, out += blockValues) {
    const scale = halves[at / 2]!
    const minimum = halves[at / 2 + 1]!
    const high = fifthBits(bytes, at + 4)
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + 8 + i]!
      values[out + i] = scale * ((pair & 15) | (((high >>> i) & 1) << 4)) + minimum
      values[out + i + 16] = scale * ((pair >> 4) | (((high >>> (i + 16)) & 1) << 4)) + minimum
    }
  }
}

/** [scale f16][32 values i8]: scale · q. */
const dequantizeQ8_0: Dequantize = (bytes, values) => {
  const scales = new Float16Array(bytes.buffer, 0, bytes.length / 2)
  const signed = new Int8Array(bytes.buffer, 0, bytes.length)
  for (let at = 0, out = 0; out < values.length; at += 34, out += blockValues) {
    const scale = scales[at / 2]!
    for (let i = 0; i < blockValues; i++) values[out + i] = scale * signed[at + 2 + i]!
  }
}

export const dequantizers = {
  Q4_0: dequantizeQ4_0,
  Q4_1: dequantizeQ4_1,
  Q5_0: dequantizeQ5_0,
  Q5_1: dequantizeQ5_1,
  Q8_0: dequantizeQ8_0,
  Q4_K: dequantizeQ4K,
  Q5_K: dequantizeQ5K,
  Q6_K: dequantizeQ6K,
} as const satisfies Record<string, Dequantize>
