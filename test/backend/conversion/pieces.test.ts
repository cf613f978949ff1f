/** However a conversion is cut into pieces and whoever does them, the result is the same. */
import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { convertModel } from '../../../backend/conversion/convert.ts'
import { ModelFolderError } from '../../../backend/model-folder-error.ts'
import { checkpointFixture } from '../../support/checkpoint-fixtures.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { TinyLlama } from '../graph/tiny-llama.ts'
import { writeFloat32Tensors } from '../checkpoint/write-safetensors.ts'
import { folderHashes } from './folder-hashes.ts'

test.each([
  ['safetensors', 'none'],
  ['safetensors', 'int8'],
  ['torch-shards', 'int4'],
  ['gguf/tiny.gguf', 'none'],
  ['gguf/tiny.gguf', 'int4'],
] as const)('%s, quantization %s', async (name, quantization) => {
  const folder = tempFolder()
  const source = checkpointFixture(name)
  const options = {
    format: { dtype: 'float16', quantization },
    parallel: { tensorParallelSize: quantization === 'none' ? 2 : 1, pipelineParallelSize: 1 },
  } as const
  await convertModel(source, join(folder, 'at-once'), options)
  await convertModel(source, join(folder, 'in-pieces'), {
    ...options,
    tuning: { valuesPerPiece: 100, minThreadedBytes: 0 },
  })
  const [atOnce, inPieces] = ['at-once', 'in-pieces'].map((out) => folderHashes(join(folder, out)))
  const { 'checksums.txt': few, ...files } = atOnce ?? {}
  expect(inPieces).toEqual({ ...files, 'checksums.txt': expect.not.stringMatching(String(few)) })
})

test.each([
  [70_000, 'float16', 'none', 'has values that float16 cannot store: choose bfloat16 or float32'],
  [Number.NaN, 'float32', 'int8', 'infinite or no numbers, which int8 cannot store'],
  [Number.POSITIVE_INFINITY, 'float32', 'int4', 'no numbers, which int4 cannot store'],
] as const)(
  'a weight of %d is no %s, quantization %s',
  async (value, dtype, quantization, reason) => {
    const folder = tempFolder()
    const model = new TinyLlama()
    const checkpoint = join(folder, 'model')
    mkdirSync(checkpoint)
    model.write(checkpoint)
    const name = 'model.layers.1.mlp.up_proj.weight'
    const tensor = model.tensors[name]
    if (tensor === undefined) throw new Error(`there is no ${name}`)
    const values = tensor.values.with(77, value)
    writeFloat32Tensors(join(checkpoint, 'model.safetensors'), {
      ...model.tensors,
      [name]: { ...tensor, values },
    })
    for (const minThreadedBytes of [0, 1e9]) {
      const work = convertModel(checkpoint, join(folder, 'cache', 'graph'), {
        format: { dtype, quantization },
        tuning: { minThreadedBytes },
      })
      await expect(work).rejects.toThrow(`model.safetensors: tensor ${name} has values`)
      await expect(work).rejects.toThrow(reason)
      if (minThreadedBytes > 0) await expect(work).rejects.toThrow(ModelFolderError)
    }
    expect(readdirSync(join(folder, 'cache'))).toEqual([])
  },
)
