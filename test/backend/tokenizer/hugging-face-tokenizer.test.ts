import { readFileSync } from 'node:fs'
import { Tokenizer as Library } from '@huggingface/tokenizers'
import { describe, expect, test } from 'vitest'
import { bundledModelFolder } from '../../../backend/config.ts'
import { ModelFolderError } from '../../../backend/model-folder-error.ts'
import { HuggingFaceTokenizer } from '../../../backend/tokenizer/hugging-face-tokenizer.ts'
import { loadTokenizer } from '../../../backend/tokenizer/load-tokenizer.ts'
import {
  goldenDecoded,
  readGolden,
  readTokenizerJson,
  texts,
} from '../../support/tokenizer-fixtures.ts'

const bundled: { text: string; ids: number[] }[] = JSON.parse(
  readFileSync(new URL('../../fixtures/bundled-model/tokenization.json', import.meta.url), 'utf8'),
)

test('ids are those of the Hugging Face library, and decode to the text', () => {
  const tokenizer = loadTokenizer(bundledModelFolder)
  expect(bundled.length).toBeGreaterThanOrEqual(50)
  expect(bundled.map(({ text }) => tokenizer.encode(text, true))).toEqual(
    bundled.map(({ ids }) => ids),
  )
  const withoutSpecials = bundled.map(({ text }) => text.replaceAll(/<\/?s>/g, ''))
  expect(bundled.map(({ ids }) => tokenizer.decode(ids))).toEqual(withoutSpecials)
})

test('the least number of tokens is never more than there are', () => {
  const tokenizer = loadTokenizer(bundledModelFolder)
  for (const text of ['', 'x', ...bundled.map((one) => one.text), 'Instruction:'.repeat(100)]) {
    const tokens = tokenizer.encode(text, true)
    expect(tokenizer.minTokens(text)).toBeLessThanOrEqual(tokens.length)
  }
  // The longest token is a text of 8 characters with 3 bytes each.
  expect(tokenizer.minTokens('x'.repeat(2_400))).toBe(100)
})

describe.each(['gpt2', 'llama3', 'qwen2', 'smollm', 'punctuation', 'llama-json'])(
  'a tokenizer.json with the pre-tokenizer of %s',
  (name) => {
    const golden = readGolden(`${name}.json.gz`)
    const tokenizer = new HuggingFaceTokenizer(readTokenizerJson(name), {})

    test("gives the Rust library's ids", () => {
      expect(texts.map((text) => tokenizer.encode(text, true))).toEqual(golden.ids)
    })

    test("gives the Rust library's texts, of random ids too", () => {
      expect(golden.ids.map((ids) => tokenizer.decode(ids))).toEqual(goldenDecoded(golden))
      expect(golden.randomIds.map((ids) => tokenizer.decode(ids))).toEqual(golden.randomDecoded)
    })
  },
)

test('the library alone differs on digits and spaces beyond ASCII, which is why its input is rewritten', () => {
  const library = new Library(readTokenizerJson('smollm'), {})
  const { ids } = readGolden('smollm.json.gz')
  const different = texts.filter(
    (text, index) => library.encode(text).ids.join() !== ids[index]?.join(),
  )
  expect(different).toContain('①②③ ½¼')
  expect(different).toContain('  \u0085 a')
})

test('a vocabulary padded for the matrix gives no text for its padding', () => {
  const tokenizer = loadTokenizer(bundledModelFolder)
  expect(tokenizer.decode([...tokenizer.encode('ab', false), 1e6])).toBe('ab')
  expect(tokenizer.decode([])).toBe('')
})

test('100 KB without a space are not too much: quadratic work would outlast the test', () => {
  const tokenizer = new HuggingFaceTokenizer(readTokenizerJson('llama3'), {})
  for (const text of ['a'.repeat(1e5), ' '.repeat(1e5), '中文'.repeat(5e4)]) {
    expect(tokenizer.decode(tokenizer.encode(text, false))).toBe(text)
  }
})

test('a pre-tokenizer that the library would do wrongly is refused', () => {
  const json = {
    ...readTokenizerJson('gpt2'),
    pre_tokenizer: { type: 'Split', pattern: { String: ' ' }, behavior: 'MergedWithPrevious' },
  }
  expect(() => new HuggingFaceTokenizer(json, {})).toThrow(
    'its pre-tokenizer Split has the behaviour MergedWithPrevious, which is not supported',
  )
})

test('a folder without a tokenizer is named in the error', () => {
  expect(() => loadTokenizer('/nowhere')).toThrow(ModelFolderError)
  expect(() => loadTokenizer('/nowhere')).toThrow(/\/nowhere\/tokenizer.json/)
})
