/** A byte that was flipped on its way must not become a weight. */
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Checkpoint } from '../../../backend/checkpoint/checkpoint.ts'
import { TorchFile } from '../../../backend/checkpoint/torch-file.ts'
import { ModelFolderError } from '../../../backend/model-folder-error.ts'
import { convertModel } from '../../../backend/conversion/convert.ts'
import {
  checkpointFixture,
  readPlacedTensor,
  readTensor,
} from '../../support/checkpoint-fixtures.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const damaged = /its storage at byte \d+ is damaged: its checksum is wrong\. Download it again/

/** A copy of a fixture in which one bit of a tensor is another. */
const flipped = async (fixture: string, tensor: string, byte: number): Promise<string> => {
  const file = await TorchFile.open(checkpointFixture(fixture))
  const at = (file.tensors.get(tensor)?.offset ?? 0) + byte
  await file.close()
  const bytes = readFileSync(checkpointFixture(fixture))
  bytes[at] = bytes[at]! ^ 1
  const path = join(tempFolder(), 'pytorch_model.bin')
  writeFileSync(path, bytes)
  return path
}

const head = 'lm_head.weight'

test('a tensor with a flipped bit is refused when it is read whole', async () => {
  const file = await TorchFile.open(await flipped('torch/pytorch_model.bin', head, 7))
  const [height = 0] = file.tensors.get(head)?.shape ?? []
  await expect(readTensor(file, head)).rejects.toThrow(ModelFolderError)
  await expect(readTensor(file, head)).rejects.toThrow(damaged)
  const rows = { firstRow: 0, numRows: height }
  await expect(readTensor(file, head, rows)).rejects.toThrow(damaged)
  await readTensor(file, 'model.norm.weight')
  await file.close()
})

test('reading some rows cannot tell, so there is a check of its own', async () => {
  const path = await flipped('torch/pytorch_model.bin', head, 7)
  copyFileSync(checkpointFixture('torch/config.json'), join(path, '..', 'config.json'))
  const checkpoint = await Checkpoint.open(join(path, '..'))
  expect(readPlacedTensor(checkpoint, head, { firstRow: 0, numRows: 1 })).toHaveLength(32)
  await expect(checkpoint.verify(head)).rejects.toThrow(damaged)
  await expect(checkpoint.verify(head)).rejects.toThrow(damaged)
  await checkpoint.verify('model.norm.weight')
  await expect(checkpoint.verify('x')).rejects.toThrow('its weights have no tensor x')
  await checkpoint.close()
})

test.each(['safetensors', 'torch', 'torch-shards', 'gguf'])('a sound %s passes', async (name) => {
  const checkpoint = await Checkpoint.open(checkpointFixture(name))
  await checkpoint.verify(head)
  await checkpoint.verify(head)
  await checkpoint.close()
})

test('views of one storage are checked with all of it', async () => {
  // Element 20 is in no row of `rows`, but in its storage.
  const file = await TorchFile.open(await flipped('odd/views.bin', 'whole', 80))
  await expect(readTensor(file, 'whole')).rejects.toThrow(damaged)
  await expect(readTensor(file, 'rows')).rejects.toThrow(damaged)
  expect(await readTensor(file, 'scalar')).toEqual([3.5])
  await file.close()
})

test('a damaged model is not converted', async () => {
  const path = await flipped('torch/pytorch_model.bin', 'model.layers.0.mlp.up_proj.weight', 100)
  copyFileSync(checkpointFixture('torch/config.json'), join(path, '..', 'config.json'))
  const folder = tempFolder()
  for (const valuesPerPiece of [1 << 20, 100]) {
    const work = convertModel(join(path, '..'), join(folder, 'graph'), {
      tuning: { valuesPerPiece },
    })
    await expect(work).rejects.toThrow(damaged)
    expect(readdirSync(folder)).toEqual([])
  }
})
