/** Where in the prompt's text each of its tokens begins. */
import { isContinuation, type TokenNames } from './choice-logprobs.ts'
import { shownBytes } from './shown-bytes.ts'

const encoder = new TextEncoder()

/** @returns for each token, the characters (Unicode code points) of the text before it */
export const promptOffsets = (
  tokenizer: TokenNames,
  tokens: readonly number[],
  text: string,
): number[] => {
  const bytes = encoder.encode(text)
  const ofTokens = tokens.map((token) => tokenizer.tokenBytes(token))
  const inText = ofTokens.map((own, index) => (tokenizer.isSpecial(tokens[index]!) ? noBytes : own))
  const shown = shownBytes(inText, text)
  let at = 0
  /** Characters that begin before `at`. */
  let characters = 0
  return tokens.map((token, index) => {
    const rest = bytes.subarray(at)
    const [first] = rest
    const isSpecial = tokenizer.isSpecial(token)
    const own = isSpecial ? ofTokens[index]! : shown[index]!.bytes
    // A token that begins inside a character begins where the character does.
    const isInside = shown[index]!.isInside || (first !== undefined && isContinuation(first))
    const textOffset = characters - (isInside ? 1 : 0)
    const length = lengthIn(rest, own, isSpecial)
    for (const byte of rest.subarray(0, length)) if (!isContinuation(byte)) characters++
    at += length
    return textOffset
  })
}

const noBytes = new Uint8Array()

/** How much of the text is the token's: what it stands for, unless the tokenizer changed or added it. */
const lengthIn = (rest: Uint8Array, token: Uint8Array, isSpecial: boolean): number => {
  if (startsWith(rest, token)) return token.length
  if (isSpecial) return 0
  // SentencePiece begins a text with a space.
  if (token[0] === space && startsWith(rest, token.subarray(1))) return token.length - 1
  return Math.min(token.length, rest.length)
}

const space = 0x20

const startsWith = (text: Uint8Array, beginning: Uint8Array): boolean =>
  beginning.every((byte, index) => text[index] === byte)
