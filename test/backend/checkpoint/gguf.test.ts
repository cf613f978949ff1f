import { expect, test } from 'vitest'
import { GgufFile } from '../../../backend/checkpoint/gguf-file.ts'
import { ggufVocabulary } from '../../../backend/checkpoint/gguf-vocabulary.ts'
import { SafetensorsFile } from '../../../backend/checkpoint/safetensors-file.ts'
import { checkpointFixture, readTensor } from '../../support/checkpoint-fixtures.ts'

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

test('the tokenizer comes as it stands in the file', async () => {
  const file = await GgufFile.open(checkpointFixture('gguf/tiny.gguf'))
  await file.close()
  expect(ggufVocabulary(file)).toEqual({
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
