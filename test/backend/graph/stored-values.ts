/** What the graph reads back of values that were encoded, by the operators' own rules. */
import { encodeRows } from '../../../backend/graph/encode-weights.ts'
import type { Encoding } from '../../../backend/graph/weight-format.ts'

/** @param values whole rows of `columns` each */
export const storedValues = (
  values: Float32Array,
  columns: number,
  encoding: Encoding,
): Float32Array => {
  const { data, scales } = encodeRows(values, columns, encoding)
  if (encoding === 'float32') return values
  if (encoding === 'float16') {
    return new Float32Array(new Float16Array(data.buffer, data.byteOffset, values.length))
  }
  if (encoding === 'bfloat16') {
    const halves = new Uint16Array(data.buffer, data.byteOffset, values.length)
    return new Float32Array(Uint32Array.from(halves, (half) => half << 16).buffer)
  }
  const blocks = Math.ceil(columns / 32)
  return values.map((_, i) => {
    const block = Math.floor(i / columns) * blocks + Math.floor((i % columns) / 32)
    const at = block * 32 + ((i % columns) % 32)
    const code =
      encoding === 'int8' ? data[at]! - 128 : ((data[at >> 1]! >> (4 * (at % 2))) & 15) - 8
    return code * scales![block]!
  })
}
