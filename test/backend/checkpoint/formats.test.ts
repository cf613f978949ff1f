/** One tiny Llama, written by each format's own writer, must be the same model in all of them. */
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Checkpoint } from '../../../backend/checkpoint/checkpoint.ts'
import { readConfigText } from '../../../backend/checkpoint/config-text.ts'
import { parseConfig, type ModelConfig } from '../../../backend/checkpoint/config.ts'
import { SafetensorsFile } from '../../../backend/checkpoint/safetensors-file.ts'
import { TorchFile } from '../../../backend/checkpoint/torch-file.ts'
import { convertModel } from '../../../backend/conversion/convert.ts'
import {
  checkpointFixture,
  readPlacedTensor,
  readTensor,
} from '../../support/checkpoint-fixtures.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const others = ['torch', 'torch-shards', 'gguf', 'gguf/tiny.gguf']

const configOf = async (model: string): Promise<ModelConfig> => {
  const { path, text } = await readConfigText(model)
  return parseConfig(path, text)
}

test.each(others)('%s has the configuration of the safetensors folder', async (name) => {
  const config = await configOf(checkpointFixture(name))
  expect(config).toEqual(await configOf(checkpointFixture('safetensors')))
})

test.each(others)('%s has the tensors of the safetensors file, whole and by rows', async (name) => {
  const expected = await SafetensorsFile.open(checkpointFixture('safetensors/model.safetensors'))
  const checkpoint = await Checkpoint.open(checkpointFixture(name))
  for (const [tensor, { shape }] of expected.tensors) {
    checkpoint.requireTensor(tensor, shape)
    const values = await readTensor(expected, tensor)
    expect(readPlacedTensor(checkpoint, tensor)).toEqual(values)
    const [height = 0, width = 1] = shape
    // Neither begin nor end at a head's border.
    const rows = { firstRow: 3, numRows: height - 7 }
    const cut = values.slice(3 * width, (height - 4) * width)
    expect(readPlacedTensor(checkpoint, tensor, rows)).toEqual(cut)
  }
  await checkpoint.close()
  await expected.close()
})

test.each(others)('%s is converted to the same weights', async (name) => {
  const folder = tempFolder()
  await convertModel(checkpointFixture('safetensors'), join(folder, 'expected'))
  await convertModel(checkpointFixture(name), join(folder, 'converted'))
  const [expected, converted] = ['expected', 'converted'].map((out) =>
    readFileSync(join(folder, out, 'weights.bin')),
  )
  expect(converted?.equals(expected ?? new Uint8Array())).toBe(true)
})

test('rows that a tensor does not have are refused', async () => {
  const file = await TorchFile.open(checkpointFixture('torch/pytorch_model.bin'))
  for (const [firstRow, numRows] of [
    [0, 33],
    [32, 1],
    [-1, 2],
    [0.5, 1],
    [0, -1],
  ]) {
    const rows = { firstRow: firstRow ?? 0, numRows: numRows ?? 0 }
    await expect(readTensor(file, 'model.norm.weight', rows)).rejects.toThrow(RangeError)
  }
  expect(await readTensor(file, 'model.norm.weight', { firstRow: 32, numRows: 0 })).toEqual([])
  await file.close()
})

test('of several formats in a folder safetensors win, then PyTorch', async () => {
  const folder = tempFolder()
  const tensors = async (): Promise<number[]> => {
    const checkpoint = await Checkpoint.open(folder)
    const values = readPlacedTensor(checkpoint, 'model.norm.weight')
    await checkpoint.close()
    return values
  }
  const expected = await SafetensorsFile.open(checkpointFixture('safetensors/model.safetensors'))
  const norm = await readTensor(expected, 'model.norm.weight')
  await expected.close()
  copyFileSync(checkpointFixture('gguf/tiny.gguf'), join(folder, 'tiny.gguf'))
  expect(await tensors()).toEqual(norm)
  writeFileSync(join(folder, 'pytorch_model.bin'), 'x')
  await expect(tensors()).rejects.toThrow('pytorch_model.bin: it is no file of torch.save')
  writeFileSync(join(folder, 'model.safetensors'), 'x')
  await expect(tensors()).rejects.toThrow('model.safetensors: it is no safetensors file')
})

test('one of several GGUF files must be named, and another file is no model', async () => {
  const folder = tempFolder()
  const tiny = checkpointFixture('gguf/tiny.gguf')
  copyFileSync(tiny, join(folder, 'a.gguf'))
  copyFileSync(tiny, join(folder, 'b.gguf'))
  copyFileSync(tiny, join(folder, 'c.bin'))
  await expect(Checkpoint.open(folder)).rejects.toThrow('it holds 2 .gguf files: name one of them')
  await expect(Checkpoint.open(join(folder, 'c.bin'))).rejects.toThrow(
    'neither a folder nor a .gguf',
  )
  await expect(Checkpoint.open(join(folder, 'd'))).rejects.toThrow('ENOENT')
  await (await Checkpoint.open(join(folder, 'b.gguf'))).close()
})
