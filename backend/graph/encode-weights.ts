/**
 * Float32 values → the bytes that are stored of them, for whole rows of a weight. Quantised codes are in
 * the layout of com.microsoft.MatMulNBits: unsigned, two's power in the middle, of two 4-bit codes the
 * first one in the lower half of the byte.
 */
import { blockBytesOf, blocksOf, quantizationBlock, type Encoding } from './weight-format.ts'

export type EncodedRows = {
  /** The values or, of quantised rows, their codes: [rows, blocks, bytes of a block]. */
  readonly data: Uint8Array
  /** Of quantised rows, [rows, blocks]; else null. */
  readonly scales: Float32Array | null
}

/** @param values whole rows of `columns` each */
export const encodeRows = (
  values: Float32Array,
  columns: number,
  encoding: Encoding,
): EncodedRows => {
  switch (encoding) {
    case 'float32':
      return plain(values)
    case 'float16':
      return plain(new Float16Array(values))
    case 'bfloat16':
      return plain(toBfloat16(values))
    case 'int8':
      return quantize(values, columns, 'int8', quantizeBlock8)
    case 'int4':
      return quantize(values, columns, 'int4', quantizeBlock4)
  }
}

const plain = ({ buffer, byteOffset, byteLength }: ArrayBufferView): EncodedRows => ({
  data: new Uint8Array(buffer, byteOffset, byteLength),
  scales: null,
})

/** To the nearest, ties to even; infinities stay, and so does what is no number. */
const toBfloat16 = (values: Float32Array): Uint16Array => {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length)
  const halves = new Uint16Array(values.length)
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!
    const isNaN = (word & 0x7fffffff) > 0x7f800000
    // Rounding up could carry a NaN's bits into infinity: set one that stays.
    halves[i] = isNaN ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16
  }
  return halves
}

/**
 * Writes the codes of the values from `begin` to `end` at `out`; what the block has beyond them is left
 * at the code of zero.
 * @returns the block's scale
 */
type QuantizeBlock = (
  values: Float32Array,
  begin: number,
  end: number,
  codes: Uint8Array,
  out: number,
) => number

const quantize = (
  values: Float32Array,
  columns: number,
  encoding: 'int8' | 'int4',
  quantizeBlock: QuantizeBlock,
): EncodedRows => {
  const blocks = blocksOf(columns)
  const blockBytes = blockBytesOf(encoding)
  const rows = values.length / columns
  const data = new Uint8Array(rows * blocks * blockBytes)
  const scales = new Float32Array(rows * blocks)
  for (let block = 0; block < scales.length; block++) {
    const row = Math.floor(block / blocks)
    const begin = row * columns + (block % blocks) * quantizationBlock
    const end = Math.min(begin + quantizationBlock, (row + 1) * columns)
    scales[block] = quantizeBlock(values, begin, end, data, block * blockBytes)
  }
  return { data, scales }
}

/** The value of the largest magnitude, with its sign. */
const extreme = (values: Float32Array, begin: number, end: number): number => {
  let found = 0
  let magnitude = 0
  for (let i = begin; i < end; i++) {
    const value = values[i]!
    const size = Math.abs(value)
    if (size > magnitude) {
      magnitude = size
      found = value
    }
  }
  return found
}

/** value = (code − 128) · scale, codes 1 to 255: as ggml's Q8_0. */
const quantizeBlock8: QuantizeBlock = (values, begin, end, codes, out) => {
  const largest = extreme(values, begin, end)
  const scale = Math.fround((largest < 0 ? -largest : largest) / 127)
  const inverse = scale === 0 ? 0 : 1 / scale
  codes.fill(128, out, out + quantizationBlock)
  for (let i = begin; i < end; i++) {
    // Above 0, so that cutting the fraction off rounds down, at a third of the time.
    codes[out + i - begin] = (values[i]! * inverse + 128.5) | 0
  }
  return scale
}

/**
 * How many steps the largest value of a block is tried at. At 8, where ggml's Q4_0 puts it, what was
 * quantised so before comes back exactly; less or more gives some blocks a smaller error in all.
 */
const trialSteps = [8, 7.1, 8.6]

/**
 * value = (code − 8) · scale, codes 0 to 15; the scale has the sign that puts the largest value at the
 * end with one step more. Of a few scalings the one whose codes, with the scale that fits them best, leave
 * the smallest sum of squared errors.
 */
const quantizeBlock4: QuantizeBlock = (values, begin, end, codes, out) => {
  const largest = extreme(values, begin, end)
  codes.fill(0x88, out, out + quantizationBlock / 2)
  if (largest === 0) return 0
  let [inverse, scale, most] = [0, 0, 0]
  for (const steps of trialSteps) {
    const trial = -steps / largest
    let products = 0
    let squares = 0
    for (let i = begin; i < end; i++) {
      const code = code4(values[i]! * trial) - 8
      products += values[i]! * code
      squares += code * code
    }
    // By so much the squared error is below that of zeros alone.
    const gain = (products * products) / squares
    // A difference of rounding only is none: the first trial stays.
    if (gain > most * (1 + 1e-6)) {
      most = gain
      scale = products / squares
      inverse = trial
    }
  }
  for (let i = begin; i < end; i += 2) {
    const low = code4(values[i]! * inverse)
    const high = i + 1 < end ? code4(values[i + 1]! * inverse) : 8
    codes[out + ((i - begin) >> 1)] = low | (high << 4)
  }
  return Math.fround(scale)
}

const code4 = (steps: number): number => {
  const code = (steps + 8.5) | 0
  return code > 15 ? 15 : code < 0 ? 0 : code
}
