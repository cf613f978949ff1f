import { expect, test } from 'vitest'
import { TokenIndex } from '../../../backend/tokenizer/token-index.ts'
import { TokenTable } from '../../../backend/tokenizer/token-table.ts'

const texts = [
  '',
  undefined,
  'a',
  '你好',
  '\uD800',
  '🐯',
  undefined,
  'x'.repeat(10_000),
  'abcdé',
  '0123456789012345🐯',
  '\0',
  'a ',
]

test('texts come back as they are, also what is no text, and ids without one', () => {
  const table = TokenTable.of(texts)
  expect(Array.from({ length: 14 }, (_, id) => table.text(id))).toEqual([
    ...texts,
    undefined,
    undefined,
  ])
  expect(texts.map((_, id) => table.lengthOf(id))).toEqual(texts.map((text) => text?.length ?? 0))
  expect([table.size, TokenTable.of([]).size, table.text(-1)]).toEqual([12, 0, undefined])
})

test('another thread opens the same memory', () => {
  const table = TokenTable.of(texts)
  const again = new TokenTable(structuredClone(table.memory))
  expect(texts.map((_, id) => again.text(id))).toEqual(texts)
})

test('of thousands of texts the index finds each, where it stands too, and no other', () => {
  const words = Array.from({ length: 5000 }, (_, id) => `w${id.toString(36)}`)
  const index = new TokenIndex(TokenTable.of(words))
  for (const [id] of words.entries()) expect(index.add(id)).toBe(true)
  expect(words.map((word) => index.idOf(word))).toEqual(words.map((_, id) => id))
  expect(words.map((word) => index.idAt(`..${word}..`, 2, 2 + word.length))).toEqual(
    words.map((_, id) => id),
  )
  expect([index.idOf(''), index.idOf('w'), index.idOf('w1 ')]).toEqual([
    undefined,
    undefined,
    undefined,
  ])
})

test('of two tokens with the same text the first stays', () => {
  const index = new TokenIndex(TokenTable.of(['a', 'b', 'a', '']))
  expect([0, 1, 2, 3].map((id) => index.add(id))).toEqual([true, true, false, true])
  expect(['a', 'b', ''].map((text) => index.idOf(text))).toEqual([0, 1, 3])
})
