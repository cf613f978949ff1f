import { describe, expect, test } from 'vitest'
import { promptOffsets } from '../../../backend/routes/prompt-offsets.ts'
import { ggufTokenizer } from '../../../backend/tokenizer/gguf-tokenizer.ts'
import { HuggingFaceTokenizer } from '../../../backend/tokenizer/hugging-face-tokenizer.ts'
import type { Tokenizer } from '../../../backend/tokenizer/tokenizer.ts'
import { byteLevelGguf, llamaGguf, readTokenizerJson } from '../../support/tokenizer-fixtures.ts'
import { testModel } from './test-app.ts'

const { tokenizer } = testModel

/** Pieces as SentencePiece has them; `<…>` is special, `\xNN` a byte. */
const pieces = (...texts: readonly (string | number)[]) => ({
  tokens: texts.map((_, id) => id),
  tokenizer: {
    tokenBytes: (id: number) => {
      const piece = texts[id] ?? ''
      return typeof piece === 'number' ? Uint8Array.of(piece) : new TextEncoder().encode(piece)
    },
    isSpecial: (id: number) => `${texts[id]}`.startsWith('<'),
  },
})

describe('each token of a prompt begins at the character of the text', () => {
  test.each<[string, readonly (string | number)[], readonly number[]]>([
    ['hello world', ['<s>', ' hello', ' world'], [0, 0, 5]],
    // A space that the text has not, alone or in front.
    ['1+2', [' ', '1', '+', '2'], [0, 0, 1, 2]],
    [' x', [' ', ' x'], [0, 1]],
    // Spelled out in the text, after the one that the tokenizer adds.
    ['<s>ab', ['<s>', '<s>', 'ab'], [0, 3, 3]],
    ['a</s>b', ['a', '</s>', 'b'], [0, 1, 5]],
    // Half a character each, of two.
    ['a你b', ['a', 0xe4, 0xbd, 0xa0, 'b'], [0, 1, 1, 1, 2]],
    // A normaliser made one character of two: from there on it is a guess within the text.
    ['①x', ['1', 'x'], [0, 0]],
    ['', ['<s>'], [0]],
    // Emoji are a character each, also those that JavaScript counts as two.
    ['🐯🐯x', ['🐯', 0xf0, 0x9f, 0x90, 0xaf, 'x'], [0, 1, 1, 1, 1, 2]],
    ['a\uFFFDb', ['a', '\uFFFD', 'b'], [0, 1, 2]],
  ])('%j in %j', (text, texts, expected) => {
    const { tokens, tokenizer: fake } = pieces(...texts)
    expect(promptOffsets(fake, tokens, text)).toEqual(expected)
  })

  test('with a real tokenizer: what lies between two offsets is the token', () => {
    for (const text of ['3+5=?\nTell me more.', '你是谁？🐯', '  two  spaces ', 'x']) {
      const tokens = tokenizer.encode(text, true)
      const offsets = promptOffsets(tokenizer, tokens, text)
      const characters = [...text]
      expect(offsets.toSorted((a, b) => a - b)).toEqual(offsets)
      for (const [at, token] of tokens.entries()) {
        const own = new TextDecoder().decode(tokenizer.tokenBytes(token))
        if (tokenizer.isSpecial(token) || own.includes('\uFFFD')) continue
        const part = characters.slice(offsets[at], offsets[at + 1] ?? characters.length).join('')
        expect(own.trimStart()).toBe(part.trimStart())
      }
    }
  })
})

describe('bytes that are of no character', () => {
  // As SentencePiece decodes: each of them is shown.
  test.each<[string, readonly (string | number)[], readonly number[]]>([
    ['a\uFFFD\uFFFDb你', ['a', 0xe4, 0xbd, 'b', '你'], [0, 1, 2, 3, 4]],
    ['\uFFFD\uFFFD你b', [0xf0, 0x9f, 0xe4, 0xbd, 0xa0, 'b'], [0, 1, 2, 2, 2, 3]],
    ['\uFFFD\uFFFD\uFFFDb', [0xe4, '\uFFFD', 0xa0, 'b'], [0, 1, 2, 3]],
    ['x\uFFFD\uFFFD', ['<s>', ' x', 0xe4, '<s>', 0xbd, '</s>'], [0, 0, 1, 2, 2, 3]],
  ])('one by one: %j in %j', (text, texts, expected) => {
    const { tokens, tokenizer: fake } = pieces(...texts)
    expect(promptOffsets(fake, tokens, text)).toEqual(expected)
  })

  // As TextDecoder decodes: a cut-off character is shown once.
  test.each<[string, readonly (string | number)[], readonly number[]]>([
    ['a\uFFFDb你', ['a', 0xe4, 0xbd, 'b', '你'], [0, 1, 1, 2, 3]],
    ['\uFFFD你b', [0xf0, 0x9f, 0xe4, 0xbd, 0xa0, 'b'], [0, 0, 1, 1, 1, 2]],
    ['\uFFFD\uFFFDb', [0xf0, 0x9f, 0x90, 0xf0, 0x9f, 'b'], [0, 0, 0, 1, 1, 2]],
    ['🐯\uFFFD\uFFFDb', [0xf0, 0x9f, 0x90, 0xaf, 0xa0, 0xe4, 0xa0, 'b'], [0, 0, 0, 0, 1, 2, 2, 3]],
  ])('cut-off characters: %j in %j', (text, texts, expected) => {
    const { tokens, tokenizer: fake } = pieces(...texts)
    expect(promptOffsets(fake, tokens, text)).toEqual(expected)
  })

  const vocabularies: readonly (readonly [string, Tokenizer])[] = [
    ['of the bundled model', tokenizer],
    ['of bytes, tokenizer.json', new HuggingFaceTokenizer(readTokenizerJson('qwen2'), {})],
    ['of bytes, GGUF', ggufTokenizer('x.gguf', byteLevelGguf('qwen2'))],
    ['of pieces, GGUF', ggufTokenizer('x.gguf', llamaGguf())],
  ]
  test.each(vocabularies)('a real vocabulary %s: the offsets meet again after them', (_, real) => {
    const encoded = (text: string) => real.encode(text, false)
    const cut = ['你', '🐯', '龘'].flatMap((text) => {
      const tokens = encoded(text)
      return tokens.length > 1 ? [tokens.slice(0, -1), tokens.slice(1), tokens] : [tokens]
    })
    const tokens = [...cut, ...cut.toReversed(), encoded('你好 🐯 end')].flatMap((part) => [
      ...part,
      ...encoded('x'),
    ])
    const text = real.decode(tokens)
    expect(text).toContain('\uFFFD')
    const offsets = promptOffsets(real, tokens, text)
    for (const [at, token] of tokens.entries()) {
      const own = real.decode([token]).trim()
      if (own === '' || own.includes('\uFFFD')) continue
      const shown = [...text].slice(offsets[at]).join('').trimStart()
      expect(shown.startsWith(own)).toBe(true)
    }
  })
})
