import { expect, test } from 'vitest'
import { encodeRows } from '../../../backend/graph/encode-weights.ts'
import { randomSource } from './random-source.ts'
import { storedValues } from './stored-values.ts'

const random = randomSource(7)
const randomRow = (length: number, scale = 1): number[] =>
  Array.from({ length }, () => random() * scale)

const halves = (bytes: Uint8Array): Uint16Array =>
  new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2)

test('float32 is stored as it is', () => {
  const values = Float32Array.of(1.5, -0, Number.POSITIVE_INFINITY, 1e-40)
  const { data, scales } = encodeRows(values, 2, 'float32')
  expect(new Float32Array(data.buffer, data.byteOffset, 4)).toEqual(values)
  expect(scales).toBeNull()
})

test('float16 rounds to nearest, ties to even', () => {
  const { data } = encodeRows(
    Float32Array.of(1, 1 + 2 ** -11, 1 + 3 * 2 ** -11, -65504),
    4,
    'float16',
  )
  expect([...halves(data)]).toEqual([0x3c00, 0x3c00, 0x3c02, 0xfbff])
})

test('bfloat16 rounds to nearest, ties to even, and keeps what is no number', () => {
  const values = Float32Array.of(
    1,
    1 + 2 ** -8,
    1 + 3 * 2 ** -8,
    1 + 2 ** -8 + 2 ** -20,
    -3.4e38,
    Number.NEGATIVE_INFINITY,
    Number.NaN,
  )
  const { data } = encodeRows(values, 7, 'bfloat16')
  const [one, down, up, above, large, infinite, none = 0] = halves(data)
  expect([one, down, up, above]).toEqual([0x3f80, 0x3f80, 0x3f82, 0x3f81])
  expect([large, infinite]).toEqual([0xff80, 0xff80])
  expect((none & 0x7f80) === 0x7f80 && (none & 0x7f) !== 0).toBe(true)
})

const decoded = (values: readonly number[], columns: number, bits: 4 | 8): number[] => [
  ...storedValues(Float32Array.from(values), columns, bits === 8 ? 'int8' : 'int4'),
]

const columns = 96
const matrix = [...randomRow(columns), ...randomRow(columns, 1000), ...randomRow(columns, 1e-6)]

/** Of each block of the matrix, with the matrix as it is decoded. */
const blocksOf = (bits: 4 | 8) => {
  const all = decoded(matrix, columns, bits)
  return Array.from({ length: matrix.length / 32 }, (_, block) => {
    const values = matrix.slice(block * 32, (block + 1) * 32)
    const largest = values.reduce(
      (max, value) => (Math.abs(value) > Math.abs(max) ? value : max),
      0,
    )
    return { values, largest, decoded: all.slice(block * 32, (block + 1) * 32) }
  })
}

test('8 bits are off by half a step at most, the largest of a block not at all', () => {
  for (const { values, largest, decoded: found } of blocksOf(8)) {
    const off = found.map((value, i) => Math.abs(value - values[i]!) / Math.abs(largest))
    expect(Math.max(...off)).toBeLessThanOrEqual(1.001 / (2 * 127))
    expect(off[values.indexOf(largest)]).toBeLessThanOrEqual(1e-6)
  }
})

test('4 bits are off by less, in all, than by rounding to eighths of the largest', () => {
  let [squares, plainSquares] = [0, 0]
  for (const { values, largest, decoded: found } of blocksOf(4)) {
    const step = -largest / 8
    for (const [i, value] of values.entries()) {
      const plain = Math.min(7, Math.max(-8, Math.round(value / step))) * step
      squares += ((found[i]! - value) / largest) ** 2
      plainSquares += ((plain - value) / largest) ** 2
      expect(Math.abs((found[i]! - value) / largest)).toBeLessThan(2 / 8.9)
    }
  }
  expect(squares / plainSquares).toBeLessThan(0.95)
})

test('what was quantised to 4 bits as ggml does comes back exactly', () => {
  const codes = Array.from({ length: 32 }, (_, i) => (i === 5 ? -8 : Math.round(random() * 7)))
  const values = codes.map((code) => code * 0.03125)
  expect(decoded(values, 32, 4)).toEqual(values.map((value) => value + 0))
})

test.each([8, 4] as const)(
  'rows of %i bits that are no whole blocks are padded with zeros',
  (bits) => {
    const columns = 40
    const values = [...randomRow(columns), ...randomRow(columns)]
    const { data, scales } = encodeRows(
      Float32Array.from(values),
      columns,
      bits === 8 ? 'int8' : 'int4',
    )
    expect([data.length, scales?.length]).toEqual([2 * 64 * (bits / 8), 4])
    const blockBytes = 32 * (bits / 8)
    const padding = data.subarray(blockBytes + 8 * (bits / 8), 2 * blockBytes)
    expect(new Set(padding)).toEqual(new Set([bits === 8 ? 128 : 0x88]))
  },
)

test.each([8, 4] as const)('a block of zeros stays one with %i bits', (bits) => {
  expect(
    decoded(
      Array.from({ length: 32 }, () => 0),
      32,
      bits,
    ),
  ).toEqual(Array.from({ length: 32 }, () => 0))
})
