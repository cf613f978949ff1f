import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { SafetensorsFile } from '../../../backend/checkpoint/safetensors-file.ts'
import { ModelFolderError } from '../../../backend/model-folder-error.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { safetensorsBytes } from './write-safetensors.ts'

const open = async (bytes: Uint8Array): Promise<SafetensorsFile> => {
  const path = join(tempFolder(), 'x.safetensors')
  writeFileSync(path, bytes)
  return SafetensorsFile.open(path)
}

const readAll = async (file: SafetensorsFile, name: string): Promise<number[]> => {
  const values: number[] = []
  for await (const piece of file.readFloat32(name)) values.push(...piece)
  return values
}

const bytesOf = (values: Float32Array): Buffer =>
  Buffer.from(values.buffer, values.byteOffset, values.byteLength)

const f32 = (shape: unknown, data_offsets: unknown): object => ({
  dtype: 'F32',
  shape,
  data_offsets,
})

test('F32, F16 and BF16 are read as float32, from wherever they lie', async () => {
  const data = new Uint8Array(19)
  const view = new DataView(data.buffer)
  view.setUint8(0, 7)
  view.setUint16(1, 0x3f80, true) // BF16 1
  view.setUint16(3, 0xc040, true) // BF16 -3
  view.setUint16(5, 0x3555, true) // F16 0.333251953125
  view.setUint16(7, 0x0001, true) // F16's smallest
  view.setUint16(9, 0xfc00, true) // F16 -Infinity
  view.setFloat32(11, 0.1, true)
  view.setFloat32(15, -2, true)
  const header = {
    __metadata__: { format: 'pt' },
    byte: { dtype: 'U8', shape: [1], data_offsets: [0, 1] },
    bf16: { dtype: 'BF16', shape: [2, 1], data_offsets: [1, 5] },
    f16: { dtype: 'F16', shape: [3], data_offsets: [5, 11] },
    f32: f32([1, 2], [11, 19]),
    none: f32([0, 4], [11, 11]),
  }
  // Headers are padded with spaces.
  const file = await open(safetensorsBytes(`${JSON.stringify(header)}   `, data))
  const values = {
    shapes: [...file.tensors].map(([name, { shape }]) => [name, shape]),
    bf16: await readAll(file, 'bf16'),
    f16: await readAll(file, 'f16'),
    f32: await readAll(file, 'f32'),
    none: await readAll(file, 'none'),
  }
  await file.close()
  await file.close()
  expect(values).toEqual({
    shapes: [
      ['byte', [1]],
      ['bf16', [2, 1]],
      ['f16', [3]],
      ['f32', [1, 2]],
      ['none', [0, 4]],
    ],
    bf16: [1, -3],
    f16: [0.333251953125, 2 ** -24, -Infinity],
    f32: [Math.fround(0.1), -2],
    none: [],
  })
})

test('a tensor larger than a piece comes in several, in order', async () => {
  const length = (1 << 20) + 3
  const values = Float32Array.from({ length }, (_, i) => i)
  const header = { x: f32([length], [0, length * 4]) }
  const file = await open(safetensorsBytes(header, new Uint8Array(values.buffer)))
  const pieces: Float32Array[] = []
  for await (const piece of file.readFloat32('x')) pieces.push(piece)
  await file.close()
  expect(pieces.map((piece) => [piece.length, piece[0], piece.at(-1)])).toEqual([
    [1 << 20, 0, (1 << 20) - 1],
    [3, 1 << 20, length - 1],
  ])
})

test('a piece that was read stays what it was when the next one is read', async () => {
  const length = 2 * (1 << 20) + 5
  const values = Float16Array.from({ length }, (_, i) => i >> 12)
  const header = { x: { dtype: 'F16', shape: [length], data_offsets: [0, length * 2] } }
  const file = await open(safetensorsBytes(header, new Uint8Array(values.buffer)))
  const pieces: Float32Array[] = []
  for await (const piece of file.readFloat32('x')) pieces.push(piece)
  await file.close()
  expect(pieces.length).toBe(3)
  expect(
    Buffer.compare(Buffer.concat(pieces.map(bytesOf)), bytesOf(new Float32Array(values))),
  ).toBe(0)
})

test('only floating-point tensors that exist can be read', async () => {
  const header = { x: { dtype: 'I64', shape: [], data_offsets: [0, 8] } }
  const file = await open(safetensorsBytes(header, new Uint8Array(8)))
  await expect(readAll(file, 'x')).rejects.toThrow(
    'tensor x is I64; weights must be F32, F16, BF16',
  )
  await expect(readAll(file, 'y')).rejects.toThrow('it has no tensor y')
  await file.close()
})

const four = new Uint8Array(4)

test.each<[string, Uint8Array, string]>([
  ['an empty file', new Uint8Array(0), 'it has 0 bytes'],
  ['seven bytes', new Uint8Array(7), 'it has 7 bytes'],
  ['a header beyond the file', safetensorsBytes({}, four, 1000n), 'would have 1000 bytes'],
  ['a header of 2^64-1 bytes', safetensorsBytes({}, four, 2n ** 64n - 1n), 'would have 1844674'],
  ['a header beyond the limit', safetensorsBytes({}, four, 100_000_001n), 'would have 100000001'],
  ['a header that is no JSON', safetensorsBytes('{"x": '), 'JSON'],
  ['a header that is a list', safetensorsBytes('[]'), 'no JSON object'],
  ['a header of zero bytes', safetensorsBytes(''), 'JSON'],
  ['a tensor that is a number', safetensorsBytes({ x: 5 }), 'x is not described by an object'],
  ['a tensor that is null', safetensorsBytes({ x: null }), 'x is not described by an object'],
  [
    'an unknown type',
    safetensorsBytes({ x: { dtype: 'F31', shape: [1], data_offsets: [0, 4] } }, four),
    'unknown type "F31"',
  ],
  [
    'a type named like an object property',
    safetensorsBytes({ x: { dtype: 'toString', shape: [1], data_offsets: [0, 4] } }, four),
    'unknown type "toString"',
  ],
  ['no shape', safetensorsBytes({ x: f32(undefined, [0, 4]) }, four), 'no proper shape'],
  ['a negative dim', safetensorsBytes({ x: f32([-1], [0, 4]) }, four), 'no proper shape'],
  ['half a dim', safetensorsBytes({ x: f32([0.5, 2], [0, 4]) }, four), 'no proper shape'],
  ['a dim of 2^53', safetensorsBytes({ x: f32([2 ** 53], [0, 4]) }, four), 'no proper shape'],
  ['one offset', safetensorsBytes({ x: f32([1], [0]) }, four), 'no proper data_offsets'],
  ['three offsets', safetensorsBytes({ x: f32([1], [0, 4, 8]) }, four), 'no proper data_offsets'],
  ['a negative offset', safetensorsBytes({ x: f32([1], [-4, 0]) }, four), 'no proper data_offsets'],
  [
    'offsets in reverse',
    safetensorsBytes({ x: f32([1], [4, 0]) }, four),
    'its data_offsets span -4',
  ],
  [
    'too few bytes',
    safetensorsBytes({ x: f32([2], [0, 4]) }, four),
    '8 bytes, but its data_offsets span 4',
  ],
  [
    'a product beyond numbers',
    safetensorsBytes({ x: f32([2 ** 40, 2 ** 40], [0, 4]) }, four),
    'but its data_offsets span 4',
  ],
  ['data beyond the file', safetensorsBytes({ x: f32([2], [0, 8]) }, four), 'was it cut off?'],
  [
    'data left over',
    safetensorsBytes({ x: f32([1], [0, 4]) }, new Uint8Array(5)),
    'tensors end at',
  ],
  ['data of no tensor', safetensorsBytes({}, four), 'tensors end at'],
  ['a gap', safetensorsBytes({ x: f32([1], [4, 8]) }, new Uint8Array(8)), 'leaves a gap'],
  [
    'an overlap',
    safetensorsBytes({ x: f32([2], [0, 8]), y: f32([1], [4, 8]) }, new Uint8Array(8)),
    'y overlaps the one before it',
  ],
  [
    'the same place twice',
    safetensorsBytes({ x: f32([1], [0, 4]), y: f32([1], [0, 4]) }, four),
    'overlaps the one before it',
  ],
])('%s is refused', async (_name, bytes, message) => {
  await expect(open(bytes)).rejects.toThrow(ModelFolderError)
  await expect(open(bytes)).rejects.toThrow(/^cannot use .*x\.safetensors: /)
  await expect(open(bytes)).rejects.toThrow(message)
})
