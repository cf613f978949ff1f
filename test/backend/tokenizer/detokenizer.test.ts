import { expect, test } from 'vitest'
import { bundledModelFolder } from '../../../backend/config.ts'
import { Detokenizer } from '../../../backend/tokenizer/detokenizer.ts'
import { ggufTokenizer } from '../../../backend/tokenizer/gguf-tokenizer.ts'
import { HuggingFaceTokenizer } from '../../../backend/tokenizer/hugging-face-tokenizer.ts'
import { loadTokenizer } from '../../../backend/tokenizer/load-tokenizer.ts'
import type { Tokenizer } from '../../../backend/tokenizer/tokenizer.ts'
import {
  byteLevelGguf,
  llamaGguf,
  readTokenizerJson,
  texts,
} from '../../support/tokenizer-fixtures.ts'

const tokenizer = loadTokenizer(bundledModelFolder)

const pieces = (tokens: readonly number[]) => {
  const detokenizer = new Detokenizer(tokenizer)
  return [...tokens.map((token) => detokenizer.push(token)), detokenizer.flush()]
}

test.each(['hello world', '你好，世界', '🐯🌩️ é', '👩‍👩‍👧', 'a\u0000b\n\n\tc', '  two  spaces', '龘'])(
  'the pieces of %j add up to it and none holds half a character',
  (text) => {
    const parts = pieces(tokenizer.encode(text, false))
    expect(parts.join('')).toBe(text)
    expect(parts.filter((part) => part.includes('\uFFFD'))).toEqual([])
  },
)

test('a character comes whole with its last byte', () => {
  const tokens = tokenizer.encode('龘', false)
  expect(tokens.length).toBe(3)
  expect(pieces(tokens)).toEqual(['', '', '龘', ''])
})

test('bytes that never make a character come out at the end as U+FFFD', () => {
  const [first = 0] = tokenizer.encode('龘', false)
  expect(pieces([first])).toEqual(['', '\uFFFD'])
})

test.each(['龘', '🐯'])('a %s that the prompt began comes whole', (text) => {
  const tokens = tokenizer.encode(text, false)
  for (let begun = 1; begun < tokens.length; begun++) {
    const detokenizer = new Detokenizer(tokenizer, [5, ...tokens.slice(0, begun)])
    const parts = tokens.slice(begun).map((token) => detokenizer.push(token))
    expect(parts.join('')).toBe(text)
  }
})

test('a prompt that ends with U+FFFD itself is not said again', () => {
  const detokenizer = new Detokenizer(tokenizer, tokenizer.encode('a\uFFFD', false))
  const parts = tokenizer.encode('b', false).map((token) => detokenizer.push(token))
  expect(parts.join('')).toBe('b')
})

test('endless broken bytes are not held back for ever', () => {
  const [first = 0] = tokenizer.encode('龘', false)
  const parts = pieces(Array.from({ length: 100 }, () => first))
  expect(parts.join('')).toBe('\uFFFD'.repeat(100))
  expect(parts.slice(0, 20).join('').length).toBeGreaterThan(8)
})

test('what follows broken bytes is whole again', () => {
  const [first = 0] = tokenizer.encode('龘', false)
  expect(pieces([first, ...tokenizer.encode('你好', false)]).join('')).toBe('\uFFFD你好')
})

const tokenizers: [string, Tokenizer][] = [
  ['SentencePiece', ggufTokenizer('m.gguf', llamaGguf())],
  ['byte-level BPE', ggufTokenizer('m.gguf', byteLevelGguf('smollm'))],
  ['Llama as tokenizer.json', new HuggingFaceTokenizer(readTokenizerJson('llama-json'), {})],
]

test.each(tokenizers)('%s: streamed text is the whole text', (_, tokenizer) => {
  for (const text of texts) {
    const tokens = tokenizer.encode(text, true)
    const detokenizer = new Detokenizer(tokenizer)
    const streamed = tokens.map((token) => detokenizer.push(token)).join('') + detokenizer.flush()
    expect(streamed).toBe(tokenizer.decode(tokens))
  }
})

test.each(tokenizers)('%s: after a prompt, too, with special tokens between', (_, tokenizer) => {
  const prompt = tokenizer.encode('你好 world', true)
  for (const text of texts) {
    const tokens = [...tokenizer.encode(text, true), ...tokenizer.encode(text, true)]
    const detokenizer = new Detokenizer(tokenizer, prompt)
    const streamed = tokens.map((token) => detokenizer.push(token)).join('') + detokenizer.flush()
    const before = tokenizer.decode(prompt).length
    expect(streamed).toBe(tokenizer.decode([...prompt, ...tokens]).slice(before))
  }
})
