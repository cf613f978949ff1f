/**
 * Byte pieces `<0x00>` … `<0xFF>`, by which a vocabulary writes characters it has no piece for, and
 * their way back to text.
 */
import { pieceTypes, type Piece } from './sentencepiece-model.ts'

const replacement = '\uFFFD'
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })

/** The byte that a piece such as `<0x0A>` stands for; undefined for any other. */
export const byteOf = (piece: string): number | undefined => {
  const digits = /^<0x([0-9A-F]{2})>$/.exec(piece)?.[1]
  return digits === undefined ? undefined : Number.parseInt(digits, 16)
}

/** The id of each byte's piece. @throws Error unless there are all 256 */
export const byteTokenIds = (pieces: readonly Piece[]): Int32Array => {
  const ids = new Int32Array(256).fill(-1)
  for (const [id, { text, type }] of pieces.entries()) {
    const byte = type === pieceTypes.byte ? byteOf(text) : undefined
    if (byte !== undefined) ids[byte] = id
  }
  const missing = ids.indexOf(-1)
  if (missing === -1) return ids
  throw new Error(`it falls back to bytes but has no piece for byte ${missing}`)
}

/**
 * The text of a run of bytes; each byte that belongs to no character becomes one U+FFFD, as
 * SentencePiece's decoder does (a byte, not a cut-off sequence, as TextDecoder does).
 */
export const decodeBytes = (bytes: Uint8Array): string => {
  const parts: string[] = []
  for (let at = 0; at < bytes.length;) {
    const length = characterLength(bytes, at)
    parts.push(length === 0 ? replacement : utf8.decode(bytes.subarray(at, at + length)))
    at += Math.max(1, length)
  }
  return parts.join('')
}

/**
 * Bytes at `at`, where no character is, that begin one which is cut off: TextDecoder makes one U+FFFD of
 * them. At least 1, also where nothing begins.
 */
export const cutOffLength = (bytes: Uint8Array, at: number): number => {
  for (let length = 3; length > 1; length--) {
    // Whatever may follow them, two of these may.
    const completed = Uint8Array.of(...bytes.subarray(at, at + length), 0x80, 0x80)
    if (characterLength(completed, 0) > length) return length
  }
  return 1
}

/** Bytes of the UTF-8 character at `at`; 0: there is none (cut off, overlong, a surrogate, too large). */
export const characterLength = (bytes: Uint8Array, at: number): number => {
  const lead = bytes[at]!
  if (lead < 0x80) return 1
  const length = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0
  if (at + length > bytes.length) return 0
  for (let tail = 1; tail < length; tail += 1) if (bytes[at + tail]! >> 6 !== 2) return 0
  const second = bytes[at + 1]!
  const isOverlong = (lead === 0xe0 && second < 0xa0) || (lead === 0xf0 && second < 0x90)
  const isBeyond = (lead === 0xed && second >= 0xa0) || (lead === 0xf4 && second >= 0x90)
  return isOverlong || isBeyond ? 0 : length
}
