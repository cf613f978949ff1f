import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { bundledModelFolder } from '../../../backend/config.ts'
import { ModelFolderError } from '../../../backend/model-folder-error.ts'
import { Tokenizer } from '../../../backend/tokenizer/tokenizer.ts'

type Golden = { text: string; ids: number[] }

const golden: Golden[] = JSON.parse(
  readFileSync(new URL('../../fixtures/bundled-model/tokenization.json', import.meta.url), 'utf8'),
)

test('ids are those of the Hugging Face library, and decode to the text', () => {
  const tokenizer = Tokenizer.load(bundledModelFolder)
  expect(golden.length).toBeGreaterThanOrEqual(50)
  expect(golden.map(({ text }) => tokenizer.encode(text, true))).toEqual(
    golden.map(({ ids }) => ids),
  )
  const withoutSpecials = golden.map(({ text }) => text.replaceAll(/<\/?s>/g, ''))
  expect(golden.map(({ ids }) => tokenizer.decode(ids))).toEqual(withoutSpecials)
})

test('the least number of tokens is never more than there are', () => {
  const tokenizer = Tokenizer.load(bundledModelFolder)
  for (const text of ['', 'x', ...golden.map((one) => one.text), 'Instruction:'.repeat(100)]) {
    const tokens = tokenizer.encode(text, true)
    expect(tokenizer.minTokens(text)).toBeLessThanOrEqual(tokens.length)
  }
  // The longest token is a text of 8 characters with 3 bytes each.
  expect(tokenizer.minTokens('x'.repeat(2_400))).toBe(100)
})

test('a folder without a tokenizer is named in the error', () => {
  expect(() => Tokenizer.load('/nowhere')).toThrow(ModelFolderError)
  expect(() => Tokenizer.load('/nowhere')).toThrow(/\/nowhere\/tokenizer.json/)
})
