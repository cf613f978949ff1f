import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { bundledModelFolder } from '../../../backend/config.ts'
import { byteLevelBytes, sentencePieceBytes } from '../../../backend/tokenizer/token-bytes.ts'
import { HuggingFaceTokenizer } from '../../../backend/tokenizer/hugging-face-tokenizer.ts'
import { loadTokenizer } from '../../../backend/tokenizer/load-tokenizer.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { fixtureBytes, readTokenizerJson } from '../../support/tokenizer-fixtures.ts'

const loadLlama = () => {
  const folder = tempFolder()
  writeFileSync(join(folder, 'tokenizer.model'), fixtureBytes('llama-bpe.model'))
  return loadTokenizer(folder)
}

const utf8 = (text: string) => new TextEncoder().encode(text)

test('the tokens of a text have its bytes, also where each is a part of a character', () => {
  const tokenizer = loadTokenizer(bundledModelFolder)
  const text = ' Hello 你好，🐯 é\n\t"x" 3+5=?'
  const ids = tokenizer.encode(text, false)
  const bytes = ids.flatMap((id) => [...tokenizer.tokenBytes(id)])
  expect(Uint8Array.from(bytes)).toEqual(utf8(text))
  // The vocabulary is small: some tokens are no whole characters.
  expect(tokenizer.encode('🐯', false).length).toBeGreaterThan(1)
})

test.each([
  ['SentencePiece', loadLlama],
  [
    'the same as a tokenizer.json',
    () => new HuggingFaceTokenizer(readTokenizerJson('llama-json'), {}),
  ],
])('of %s too, whether by a piece or by byte tokens', (_, load) => {
  const tokenizer = load()
  for (const text of ['Hello  world', '你好 🐯 龘', 'a\u0000\n\tb', 'é']) {
    const ids = tokenizer.encode(text, false)
    const bytes = ids.flatMap((id) => [...tokenizer.tokenBytes(id)])
    // The space that SentencePiece puts before a text is a token's, too.
    expect(new TextDecoder().decode(Uint8Array.from(bytes))).toBe(` ${text}`)
  }
  expect([0, 1, 2].map((id) => tokenizer.isSpecial(id)).slice(1)).toEqual([true, true])
  expect(new TextDecoder().decode(tokenizer.tokenBytes(2))).toBe('</s>')
  expect(tokenizer.tokenBytes(1_000_000)).toEqual(new Uint8Array())
})

test('special tokens have their names for bytes, ids without a token none', () => {
  const tokenizer = loadTokenizer(bundledModelFolder)
  expect(tokenizer.tokenBytes(1)).toEqual(utf8('</s>'))
  expect([tokenizer.isSpecial(1), tokenizer.isSpecial(20)]).toEqual([true, false])
  expect(tokenizer.tokenBytes(640)).toEqual(new Uint8Array())
})

test('every byte has its character in the byte-level alphabet', () => {
  // The first and the last byte of each of GPT-2's ranges.
  expect(byteLevelBytes('!~¡¬®ÿĀĠġłŃ')).toEqual(
    Uint8Array.of(0x21, 0x7e, 0xa1, 0xac, 0xae, 0xff, 0x00, 0x20, 0x7f, 0xa0, 0xad),
  )
  expect(byteLevelBytes('你')).toEqual(utf8('你'))
})

test('pieces of SentencePiece: a lower block is a space, byte tokens are bytes', () => {
  expect(sentencePieceBytes('▁a▁')).toEqual(utf8(' a '))
  expect(sentencePieceBytes('<0xE4>')).toEqual(Uint8Array.of(0xe4))
  expect(sentencePieceBytes('<0xE4>x')).toEqual(utf8('<0xE4>x'))
  expect(sentencePieceBytes('你')).toEqual(utf8('你'))
})
