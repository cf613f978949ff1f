import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { GgufFile } from '../../../backend/checkpoint/gguf-file.ts'
import { ggufVocabulary } from '../../../backend/checkpoint/gguf-vocabulary.ts'
import { SafetensorsFile } from '../../../backend/checkpoint/safetensors-file.ts'
import { checkpointFixture, readTensor } from '../../support/checkpoint-fixtures.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { ggufBytes, llamaMetadata } from './write-gguf.ts'

test('every type becomes the float32 that the reference makes of it', async () => {
  const quants = await GgufFile.open(checkpointFixture('quants.gguf'))
  const golden = await SafetensorsFile.open(checkpointFixture('quants.safetensors'))
  expect([...quants.tensors.keys()].sort()).toEqual([...golden.tensors.keys()].sort())
  const types = new Set([...quants.tensors.values()].map(({ dtype }) => dtype))
  expect(types.size).toBe(11)
  for (const name of golden.tensors.keys()) {
    expect([name, await readTensor(quants, name)]).toEqual([name, await readTensor(golden, name)])
  }
  await quants.close()
  await golden.close()
})

test('query rows of many pieces come in the order of Hugging Face', async () => {
  const [heads, headDim, columns] = [80, 16, 2048]
  const rows = Float32Array.from({ length: heads * headDim * columns }, (_, i) =>
    Math.floor(i / columns),
  )
  const path = join(tempFolder(), 'x.gguf')
  const tensors = [
    { name: 'blk.0.attn_q.weight', dims: [columns, heads * headDim], type: 0, data: rows },
  ]
  const metadata = { ...llamaMetadata, 'llama.attention.key_length': headDim }
  writeFileSync(path, ggufBytes({ metadata, tensors }))
  const file = await GgufFile.open(path)
  const pieces: Float32Array[] = []
  for await (const piece of file.readFloat32('model.layers.0.self_attn.q_proj.weight')) {
    pieces.push(piece)
  }
  await file.close()
  expect(pieces.length).toBe(3)
  const firsts = pieces.flatMap((piece) => [...piece].filter((_, i) => i % columns === 0))
  const inHead = [0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15]
  expect(firsts).toEqual(
    Array.from({ length: heads }, (_, head) => inHead.map((row) => head * headDim + row)).flat(),
  )
})

test('the tokenizer comes as it stands in the file', async () => {
  const file = await GgufFile.open(checkpointFixture('gguf/tiny.gguf'))
  await file.close()
  const { tokens, merges, ...others } = ggufVocabulary(file)
  expect({ ...others, tokens: [...tokens], merges: [...(merges ?? [])] }).toEqual({
    model: 'llama',
    pre: 'default',
    tokens: ['<unk>', '<s>', '</s>', '<|end|>', '\ufeff', '▁你好'].concat(
      Array.from({ length: 34 }, (_, i) => `t${i}`),
    ),
    scores: Float32Array.from({ length: 40 }, (_, i) => -i),
    tokenTypes: Int32Array.from({ length: 40 }, (_, i) => [2, 3, 3, 3][i] ?? 1),
    merges: ['t 0', 't 1'],
    bosId: 1,
    eosId: 2,
    unknownId: 0,
    addBos: true,
    addEos: undefined,
    addSpacePrefix: false,
    chatTemplate: '{{ messages }}',
  })
})
