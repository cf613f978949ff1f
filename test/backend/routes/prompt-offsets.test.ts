import { describe, expect, test } from 'vitest'
import { promptOffsets } from '../../../backend/routes/prompt-offsets.ts'
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
