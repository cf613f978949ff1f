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

test.each([
  { bits: 8, steps: 127 * 2 },
  { bits: 4, steps: 8 * 2 },
] as const)(
  '$bits bits are off by half a step at most, the largest of a block not at all',
  ({ bits, steps }) => {
    const columns = 96
    const values = [...randomRow(columns), ...randomRow(columns, 1000), ...randomRow(columns, 1e-6)]
    const off = decoded(values, columns, bits).map((value, i) => Math.abs(value - values[i]!))
    for (let begin = 0; begin < values.length; begin += 32) {
      const block = values.slice(begin, begin + 32).map(Math.abs)
      const largest = Math.max(...block)
      // Four bits have no code for the end that lies opposite the largest value.
      const allowed = bits === 4 ? (largest / steps) * 2.001 : (largest / steps) * 1.001
      expect(Math.max(...off.slice(begin, begin + 32))).toBeLessThanOrEqual(allowed)
      expect(off[begin + block.indexOf(largest)]).toBeLessThanOrEqual(largest * 1e-6)
    }
  },
)

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
