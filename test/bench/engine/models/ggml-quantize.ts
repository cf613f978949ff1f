/** Float32 → ggml's Q4_0 and Q8_0, by the rules of its reference (`quantize_row_*_ref` in ggml-quants.c). */

const blockValues = 32

export const ggmlTypes = { Q4_0: 2, Q8_0: 8 } as const
export type GgmlType = keyof typeof ggmlTypes

/** The block's value of the largest magnitude, with its sign. */
const extremeOf = (block: Float32Array): number => {
  let extreme = 0
  for (const value of block) if (Math.abs(value) > Math.abs(extreme)) extreme = value
  return extreme
}

/** [scale f16][nibble of value i and, above it, of value i + 16]: value = scale · (q − 8). */
const quantizeQ4: Quantize = (block, out) => {
  const scale = extremeOf(block) / -8
  const inverse = scale === 0 ? 0 : 1 / scale
  const code = (i: number): number => Math.min(15, Math.floor((block[i] ?? 0) * inverse + 8.5))
  for (let i = 0; i < 16; i++) out.setUint8(2 + i, code(i) | (code(i + 16) << 4))
  return scale
}

/** [scale f16][32 values i8]: value = scale · q. */
const quantizeQ8: Quantize = (block, out) => {
  const scale = Math.abs(extremeOf(block)) / 127
  const inverse = scale === 0 ? 0 : 1 / scale
  for (let i = 0; i < blockValues; i++) out.setInt8(2 + i, Math.round((block[i] ?? 0) * inverse))
  return scale
}

/** Writes the codes after the scale, which it returns. */
type Quantize = (block: Float32Array, out: DataView) => number

const layouts = {
  Q4_0: { blockBytes: 18, quantize: quantizeQ4 },
  Q8_0: { blockBytes: 34, quantize: quantizeQ8 },
} as const satisfies Record<GgmlType, { blockBytes: number; quantize: Quantize }>

/** @param values whole blocks of 32 */
export const ggmlQuantize = (values: Float32Array, type: GgmlType): Uint8Array => {
  const { blockBytes, quantize } = layouts[type]
  const numBlocks = values.length / blockValues
  const bytes = new Uint8Array(numBlocks * blockBytes)
  for (let block = 0; block < numBlocks; block++) {
    const out = new DataView(bytes.buffer, block * blockBytes, blockBytes)
    const scale = quantize(values.subarray(block * blockValues, (block + 1) * blockValues), out)
    out.setFloat16(0, scale, true)
  }
  return bytes
}
