import { expect, test } from 'vitest'
import { bundledModelFolder } from '../../../backend/config.ts'
import { byteLevelBytes, sentencePieceBytes } from '../../../backend/tokenizer/token-bytes.ts'
import { Tokenizer } from '../../../backend/tokenizer/tokenizer.ts'

const utf8 = (text: string) => new TextEncoder().encode(text)

test('the tokens of a text have its bytes, also where each is a part of a character', () => {
  const tokenizer = Tokenizer.load(bundledModelFolder)
  const text = ' Hello 你好，🐯 é\n\t"x" 3+5=?'
  const ids = tokenizer.encode(text, false)
  const bytes = ids.flatMap((id) => [...tokenizer.tokenBytes(id)])
  expect(Uint8Array.from(bytes)).toEqual(utf8(text))
  // The vocabulary is small: some tokens are no whole characters.
  expect(tokenizer.encode('🐯', false).length).toBeGreaterThan(1)
})

test('special tokens have their names for bytes, ids without a token none', () => {
  const tokenizer = Tokenizer.load(bundledModelFolder)
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
