/**
 * The bytes that one token stands for, from how it is written in the vocabulary. Decoding single tokens
 * to text would lose them: a token may be half a character.
 */
import { byteOf } from './byte-fallback.ts'
import { spaceSymbol } from './sentencepiece-normalizer.ts'

const encoder = new TextEncoder()

/** A piece of SentencePiece: `▁` is a space, `<0x0A>` a byte. */
export const sentencePieceBytes = (piece: string): Uint8Array => {
  const byte = byteOf(piece)
  return byte === undefined
    ? encoder.encode(piece.replaceAll(spaceSymbol, ' '))
    : Uint8Array.of(byte)
}

/** A piece of a byte-level vocabulary (GPT-2's): each character is one byte. */
export const byteLevelBytes = (piece: string): Uint8Array => {
  const bytes: number[] = []
  for (const character of piece) {
    const byte = byteOfCharacter.get(character)
    // No character of the alphabet: a token that was added as text.
    if (byte === undefined) return encoder.encode(piece)
    bytes.push(byte)
  }
  return Uint8Array.from(bytes)
}

/**
 * `bytes_to_unicode` of GPT-2's encoder.py: printable bytes of Latin-1 stand for themselves, the others
 * for the characters from U+0100 on, in their order.
 */
const byteLevelAlphabet = (): ReadonlyMap<string, number> => {
  const alphabet = new Map<string, number>()
  let next = 0x100
  for (let byte = 0; byte < 256; byte++) {
    const isPrintable =
      (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae
    alphabet.set(String.fromCodePoint(isPrintable ? byte : next++), byte)
  }
  return alphabet
}

const byteOfCharacter = byteLevelAlphabet()

/** The characters that a byte-level vocabulary writes bytes as. */
export const byteLevelCharacters: readonly string[] = [...byteOfCharacter.keys()]
