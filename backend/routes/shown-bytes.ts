/** What a text shows of its tokens' bytes: U+FFFD in place of those that are of no character. */
import { characterLength, cutOffLength, decodeBytes } from '../tokenizer/byte-fallback.ts'

export type ShownBytes = {
  readonly bytes: Uint8Array
  /** The token's first byte belongs to the U+FFFD that a token before it has begun. */
  readonly isInside: boolean
}

const replacement = '\uFFFD'
const replacementBytes = new TextEncoder().encode(replacement)

/**
 * @param tokens the bytes of each; none for one that has no part in the text
 * @param text what they were decoded to, by whichever rule
 */
export const shownBytes = (tokens: readonly Uint8Array[], text: string): ShownBytes[] => {
  if (!text.includes(replacement)) return tokens.map((bytes) => ({ bytes, isInside: false }))
  const all = Buffer.concat(tokens)
  // One U+FFFD for each byte, as SentencePiece has it, or for each cut-off character, as TextDecoder has.
  const isByByte = numReplacements(decodeBytes(all)) === numReplacements(text)
  const shown = tokens.map((): number[] => [])
  const owners = tokens.flatMap((bytes, token) => Array.from(bytes, () => token))
  const isBegun = new Uint8Array(all.length)
  for (let at = 0; at < all.length;) {
    const length = characterLength(all, at)
    for (let i = at; i < at + length; i++) shown[owners[i]!]!.push(all[i]!)
    isBegun.fill(1, at, at + length)
    at += length
    if (length > 0) continue
    shown[owners[at]!]!.push(...replacementBytes)
    isBegun[at] = 1
    at += isByByte ? 1 : cutOffLength(all, at)
  }
  let first = 0
  return tokens.map((bytes, token) => {
    const isInside = bytes.length > 0 && isBegun[first] === 0
    first += bytes.length
    return { bytes: Uint8Array.from(shown[token]!), isInside }
  })
}

const numReplacements = (text: string): number => text.split(replacement).length - 1
