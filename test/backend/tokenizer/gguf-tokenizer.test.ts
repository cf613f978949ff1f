import { describe, expect, test } from 'vitest'
import { ModelFolderError } from '../../../backend/model-folder-error.ts'
import { ggufChatTemplate, ggufTokenizer } from '../../../backend/tokenizer/gguf-tokenizer.ts'
import {
  byteLevelGguf,
  llamaGguf,
  readGgufGolden,
  texts,
} from '../../support/tokenizer-fixtures.ts'

const golden = readGgufGolden()

describe('ids are those of llama.cpp', () => {
  test('for SentencePiece', () => {
    const tokenizer = ggufTokenizer('m.gguf', llamaGguf())
    expect(texts.map((text) => tokenizer.encode(text, false))).toEqual(golden.llama)
  })

  test.each(Object.keys(golden).filter((name) => name !== 'llama'))(
    'for byte-level BPE, %s',
    (pre) => {
      const tokenizer = ggufTokenizer('m.gguf', byteLevelGguf(pre))
      expect(texts.map((text) => tokenizer.encode(text, false))).toEqual(golden[pre])
    },
  )
})

test('each text comes back from its ids', () => {
  const plain = texts.filter((text) => !/<\/?s>|<unk>|\u2581/.test(text))
  for (const vocabulary of [llamaGguf(), byteLevelGguf('smollm'), byteLevelGguf('qwen2')]) {
    const tokenizer = ggufTokenizer('m.gguf', vocabulary)
    expect(plain.map((text) => tokenizer.decode(tokenizer.encode(text, true)))).toEqual(plain)
  }
})

test('<s> and </s> are added as the file says, or as is usual for its pre-tokenizer', () => {
  const encode = (vocabulary: Parameters<typeof ggufTokenizer>[1]): number[] => {
    const tokenizer = ggufTokenizer('m.gguf', vocabulary)
    const plain = tokenizer.encode('a', false)
    return tokenizer.encode('a', true).flatMap((id) => (plain.includes(id) ? [] : [id]))
  }
  const ends = { bosId: 0, eosId: 1 }
  expect({
    llama: encode(llamaGguf()),
    llamaWithout: encode({ ...llamaGguf(), addBos: false, addEos: true }),
    llamaBpe: encode({ ...byteLevelGguf('llama-bpe'), ...ends }),
    qwen2: encode({ ...byteLevelGguf('qwen2'), ...ends }),
    both: encode({ ...byteLevelGguf('qwen2'), ...ends, addBos: true, addEos: true }),
  }).toEqual({ llama: [1], llamaWithout: [2], llamaBpe: [0], qwen2: [], both: [0, 1] })
})

test("the file's chat template sees its special tokens", () => {
  const vocabulary = {
    ...llamaGguf(),
    bosId: 1,
    eosId: 2,
    chatTemplate: '{{ bos_token }}{{ messages[0].content }}{{ eos_token }}',
  }
  const template = ggufChatTemplate('m.gguf', vocabulary)
  expect(template?.render([{ role: 'user', content: 'hi' }], { addGenerationPrompt: true })).toBe(
    '<s>hi</s>',
  )
  expect(ggufChatTemplate('m.gguf', llamaGguf())).toBeNull()
})

test.each([
  [
    'an unknown model',
    { ...llamaGguf(), model: 'bert' },
    /"bert"; supported are llama .* and gpt2/,
  ],
  ['an unknown pre-tokenizer', byteLevelGguf('viking'), /"viking"; supported are default, llama3,/],
  ['no scores', { ...llamaGguf(), scores: undefined }, /no scores/],
  ['too few scores', { ...llamaGguf(), scores: [0] }, /700 tokens but 1 scores/],
  ['no merges', { ...byteLevelGguf('qwen2'), merges: undefined }, /no merges/],
  ['a merge of one part', { ...byteLevelGguf('qwen2'), merges: ['ab'] }, /"ab" has no two parts/],
  ['a bos beyond the end', { ...llamaGguf(), bosId: 9999 }, /bos token 9999 is no token/],
])('a vocabulary with %s is refused', (_, vocabulary, message) => {
  expect(() => ggufTokenizer('m.gguf', vocabulary)).toThrow(ModelFolderError)
  expect(() => ggufTokenizer('m.gguf', vocabulary)).toThrow(message)
})
