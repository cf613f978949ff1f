import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { GgufFile } from '../../../backend/checkpoint/gguf-file.ts'
import { ggufVocabulary } from '../../../backend/checkpoint/gguf-vocabulary.ts'
import { ModelFolderError } from '../../../backend/model-folder-error.ts'
import { checkpointFixture, readTensor } from '../../support/checkpoint-fixtures.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { ggufBytes, llamaMetadata as llama, type GgufContent } from './write-gguf.ts'

const save = (bytes: Uint8Array): string => {
  const path = join(tempFolder(), 'x.gguf')
  writeFileSync(path, bytes)
  return path
}

const open = (bytes: Uint8Array): Promise<GgufFile> => GgufFile.open(save(bytes))

test.each<[string, GgufContent['tensors'], string]>([
  [
    'an unknown type',
    [{ name: 'x', dims: [32], type: 23 }],
    "tensor x has ggml's type 23; weights must",
  ],
  ['half a block', [{ name: 'x', dims: [48, 2], type: 2 }], 'tensor x cannot be Q4_0[2, 48]'],
  ['five dimensions', [{ name: 'x', dims: [1, 1, 1, 1, 1], type: 0 }], 'x has 5 dimensions'],
  ['an endless size', [{ name: 'x', dims: [2 ** 40, 2 ** 40], type: 0 }], 'tensor x cannot be F32'],
  ['data beyond the file', [{ name: 'x', dims: [2 ** 40], type: 0 }], 'was it cut off?'],
  [
    'a gap',
    [{ name: 'x', dims: [8], type: 0, offset: 32, data: new Float32Array(24) }],
    'tensor x is not where the one before it ends',
  ],
  [
    'an overlap',
    [
      { name: 'x', dims: [8], type: 0, data: new Float32Array(8) },
      { name: 'y', dims: [8], type: 0, offset: 0, data: new Float32Array(8) },
    ],
    'tensor y is not where the one before it ends',
  ],
  [
    'a name twice',
    [
      { name: 'x', dims: [0], type: 0 },
      { name: 'x', dims: [0], type: 0 },
    ],
    'it has two tensors x',
  ],
  [
    'a name in both languages',
    [
      { name: 'output.weight', dims: [0], type: 0 },
      { name: 'lm_head.weight', dims: [0], type: 0 },
    ],
    'two of its tensors have the same name',
  ],
])('tensors with %s are refused', async (_name, tensors, message) => {
  const bytes = ggufBytes({ metadata: llama, tensors })
  await expect(open(bytes)).rejects.toThrow(ModelFolderError)
  await expect(open(bytes)).rejects.toThrow(message)
})

test('query rows that are no whole heads are refused', async () => {
  const tensors = [
    { name: 'blk.0.attn_q.weight', dims: [1, 24], type: 0, data: new Float32Array(24) },
  ]
  const file = await open(ggufBytes({ metadata: llama, tensors }))
  await expect(readTensor(file, 'model.layers.0.self_attn.q_proj.weight')).rejects.toThrow(
    'has 24 rows, no whole heads',
  )
  await file.close()
})

const tiny = readFileSync(checkpointFixture('gguf/tiny.gguf'))

/** The file with 8 bytes of another value. */
const with64 = (at: number, value: bigint): Uint8Array => {
  const copy = Buffer.from(tiny)
  copy.writeBigUInt64LE(value, at)
  return copy
}

const withByte = (at: number, value: number): Uint8Array => {
  const copy = Buffer.from(tiny)
  copy[at] = value
  return copy
}

/** Where the number of its tokens stands; the length and the bytes of each follow. */
const tokensAt = (() => {
  const key = 'tokenizer.ggml.tokens'
  // Between them, the types of the value and of the list.
  return tiny.indexOf(key) + key.length + 8
})()

test.each<[string, Uint8Array, string]>([
  ['no bytes', new Uint8Array(0), 'its header has no end in 0 bytes: was it cut off?'],
  ['another magic', Buffer.from('GGML____________'), 'it is no GGUF file'],
  ['version 1', Buffer.from('GGUF\x01\0\0\0\0\0\0\0'), 'is not supported: version 1'],
  [
    'the other byte order',
    Buffer.from('GGUF\0\0\0\x03\0\0\0\0'),
    'is not supported: version 50331648',
  ],
  ['endless tensors', with64(8, 2n ** 64n - 1n), 'it would have 18446744073709552000 tensors'],
  ['endless keys', with64(16, 2n ** 40n), 'and 1099511627776 keys'],
  ['an endless key', with64(24, 2n ** 50n), 'its header has no end in'],
  ['an endless list of texts', with64(tokensAt, 2n ** 40n), 'its header has no end in'],
  ['a token that is no UTF-8', withByte(tokensAt + 16, 0xff), 'a text is no UTF-8'],
  ['half its header', tiny.subarray(0, 1000), 'its header has no end in 1000 bytes'],
  ['its end cut off', tiny.subarray(0, -64), 'was it cut off? Download it again'],
])('a file with %s is refused', async (_name, bytes, message) => {
  await expect(open(bytes)).rejects.toThrow(ModelFolderError)
  await expect(open(bytes)).rejects.toThrow(message)
})

test.each<[GgufContent['metadata'], string]>([
  [{}, 'it has no tokenizer'],
  [{ 'tokenizer.ggml.model': 'gpt2' }, 'it has no tokenizer'],
  [{ 'tokenizer.ggml.scores': [1] }, 'tokenizer.ggml.scores has 1 values for 2 tokens'],
  [
    { 'tokenizer.ggml.bos_token_id': 2 },
    'tokenizer.ggml.bos_token_id is 2, but there are 2 tokens',
  ],
  [{ 'tokenizer.ggml.merges': 'a b' }, 'tokenizer.ggml.merges must be an array of strings'],
  [{ 'tokenizer.ggml.token_type': ['a'] }, 'tokenizer.ggml.token_type must be an array of numbers'],
  [{ 'tokenizer.ggml.add_bos_token': 1 }, 'tokenizer.ggml.add_bos_token must be true or false'],
  [{ 'tokenizer.ggml.pre': 1 }, 'tokenizer.ggml.pre must be a string'],
])('the tokenizer %j is refused', async (fields, message) => {
  const isSound = Object.keys(fields).length > 0 && !('tokenizer.ggml.model' in fields)
  const base = isSound
    ? { 'tokenizer.ggml.model': 'llama', 'tokenizer.ggml.tokens': ['a', 'b'] }
    : {}
  const file = await open(ggufBytes({ metadata: { ...llama, ...base, ...fields }, tensors: [] }))
  await file.close()
  expect(() => ggufVocabulary(file)).toThrow(ModelFolderError)
  expect(() => ggufVocabulary(file)).toThrow(message)
})
