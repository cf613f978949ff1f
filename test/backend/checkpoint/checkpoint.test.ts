import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Checkpoint } from '../../../backend/checkpoint/checkpoint.ts'
import { findWeightFiles } from '../../../backend/checkpoint/weight-files.ts'
import { ModelFolderError } from '../../../backend/model-folder-error.ts'
import { readPlacedTensor } from '../../support/checkpoint-fixtures.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { safetensorsBytes, writeFloat32Tensors } from './write-safetensors.ts'

const tensor = (...values: number[]) => ({
  shape: [values.length],
  values: Float32Array.from(values),
})

const writeIndex = (folder: string, index: unknown): void =>
  writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify(index))

test('tensors come from all files that the index lists', async () => {
  const folder = tempFolder()
  writeFloat32Tensors(join(folder, 'b.safetensors'), { x: tensor(1, 2) })
  writeFloat32Tensors(join(folder, 'a.safetensors'), { y: tensor(3), z: tensor(4) })
  writeIndex(folder, { weight_map: { x: 'b.safetensors', y: 'a.safetensors', z: 'a.safetensors' } })
  const checkpoint = await Checkpoint.open(folder)
  const values = [readPlacedTensor(checkpoint, 'x'), readPlacedTensor(checkpoint, 'y')]
  const { paths } = await findWeightFiles(folder)
  await checkpoint.close()
  await checkpoint.close()
  expect([values, paths]).toEqual([
    [[1, 2], [3]],
    [join(folder, 'a.safetensors'), join(folder, 'b.safetensors')],
  ])
})

test('a single file needs no index', async () => {
  const folder = tempFolder()
  writeFloat32Tensors(join(folder, 'model.safetensors'), { x: tensor(5) })
  const checkpoint = await Checkpoint.open(folder)
  expect(readPlacedTensor(checkpoint, 'x')).toEqual([5])
  checkpoint.requireTensor('x', [1])
  expect(() => checkpoint.requireTensor('x', [1, 1])).toThrow(
    'tensor x is [1], but by its configuration it must be [1, 1]',
  )
  expect(() => checkpoint.requireTensor('y', [1])).toThrow('its weights have no tensor y')
  await checkpoint.close()
})

test('a tensor that two files have is refused: only one of them can be meant', async () => {
  const folder = tempFolder()
  writeFloat32Tensors(join(folder, 'a.safetensors'), { x: tensor(1) })
  writeFloat32Tensors(join(folder, 'b.safetensors'), { x: tensor(2), y: tensor(3) })
  writeIndex(folder, { weight_map: { x: 'a.safetensors', y: 'b.safetensors' } })
  await expect(Checkpoint.open(folder)).rejects.toThrow('two of its files have a tensor x')
})

test('names that all objects have are names like others', async () => {
  const folder = tempFolder()
  const path = join(folder, 'model.safetensors')
  const entry = (at: number) => `{"dtype":"F32","shape":[1],"data_offsets":[${at},${at + 4}]}`
  const header = `{"__proto__":${entry(0)},"constructor":${entry(4)}}`
  writeFileSync(path, safetensorsBytes(header, new Uint8Array(Float32Array.of(1, 2).buffer)))
  const checkpoint = await Checkpoint.open(folder)
  expect([
    readPlacedTensor(checkpoint, '__proto__'),
    readPlacedTensor(checkpoint, 'constructor'),
  ]).toEqual([[1], [2]])
  expect(() => checkpoint.requireTensor('toString', [1])).toThrow('have no tensor toString')
  await checkpoint.close()
})

test('a folder without weights says which files it should hold', async () => {
  await expect(Checkpoint.open(tempFolder())).rejects.toThrow(
    'it holds no weights: none of model.safetensors, model.safetensors.index.json, pytorch_model.bin, pytorch_model.bin.index.json and no .gguf file',
  )
})

test.each([
  [{}, 'weight_map is missing or empty'],
  [{ weight_map: {} }, 'weight_map is missing or empty'],
  [{ weight_map: 'a.safetensors' }, 'weight_map must be an object'],
  [{ weight_map: { x: 5 } }, '5 is no .safetensors file of this folder'],
  [{ weight_map: { x: '..' } }, '".." is no .safetensors file'],
  [{ weight_map: { x: '../../etc/passwd' } }, '"../../etc/passwd" is no .safetensors file'],
  [{ weight_map: { x: 'a/../../b.safetensors' } }, '"a/../../b.safetensors" is no .safetensors'],
  [{ weight_map: { x: '../a.safetensors' } }, '"../a.safetensors" is no .safetensors file'],
  [{ weight_map: { x: '/etc/a.safetensors' } }, '"/etc/a.safetensors" is no .safetensors file'],
  [{ weight_map: { x: 'pytorch_model.bin' } }, '"pytorch_model.bin" is no .safetensors file'],
  [{ weight_map: { x: 'missing.safetensors' } }, 'missing.safetensors: ENOENT'],
])('the index %j is refused', async (index, message) => {
  const folder = tempFolder()
  writeIndex(folder, index)
  await expect(Checkpoint.open(folder)).rejects.toThrow(ModelFolderError)
  await expect(Checkpoint.open(folder)).rejects.toThrow(message)
})
