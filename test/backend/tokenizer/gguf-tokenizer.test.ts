import { describe, expect, test } from 'vitest'
import { ModelFolderError } from '../../../backend/model-folder-error.ts'
import { ggufChatTemplate, ggufTokenizer } from '../../../backend/tokenizer/gguf-tokenizer.ts'
import {
  byteLevelGguf,
  goldenDecoded,
  llamaGguf,
  readGgufGolden,
  readGolden,
  texts,
} from '../../support/tokenizer-fixtures.ts'

const golden = readGgufGolden()

describe('ids are those of llama.cpp', () => {
  test('for SentencePiece', () => {
    const tokenizer = ggufTokenizer('m.gguf', llamaGguf())
    expect(texts.map((text) => tokenizer.encode(text, false))).toEqual(golden.llama)
  })

  test.each(Object.keys(golden).filter((name) => name !== 'llama' && name !== 'qwen2'))(
    'for byte-level BPE, %s',
    (pre) => {
      const tokenizer = ggufTokenizer('m.gguf', byteLevelGguf(pre))
      expect(texts.map((text) => tokenizer.encode(text, false))).toEqual(golden[pre])
    },
  )

  test('for qwen2, where the text is composed: llama.cpp does not compose it', () => {
    const tokenizer = ggufTokenizer('m.gguf', byteLevelGguf('qwen2'))
    const composed = texts.map((text) => text.normalize('NFC'))
    const ids = composed.map((text) => tokenizer.encode(text, false))
    expect(texts.map((text) => tokenizer.encode(text, false))).toEqual(ids)
    const same = composed.flatMap((text, index) => (text === texts[index] ? [index] : []))
    expect(same.length).toBeGreaterThan(texts.length - 10)
    expect(same.map((index) => ids[index])).toEqual(same.map((index) => golden.qwen2?.[index]))
  })
})

test.each([
  ['qwen2', 'qwen2'],
  ['llama-bpe', 'llama3'],
  ['gpt-2', 'gpt2'],
  ['smollm', 'smollm'],
])('ids and texts of %s are those of the Hugging Face tokenizer %s', (pre, name) => {
  const hugging = readGolden(`${name}.json.gz`)
  const tokenizer = ggufTokenizer('m.gguf', { ...byteLevelGguf(pre), bosId: 0, addBos: true })
  expect(texts.map((text) => tokenizer.encode(text, true))).toEqual(hugging.ids)
  expect(hugging.ids.map((ids) => tokenizer.decode(ids))).toEqual(goldenDecoded(hugging))
  expect(hugging.randomIds.map((ids) => tokenizer.decode(ids))).toEqual(hugging.randomDecoded)
})

test('each text comes back from its ids', () => {
  const plain = texts.filter(
    (text) => !/<\/?s>|<unk>|\u2581/.test(text) && text === text.normalize('NFC'),
  )
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
