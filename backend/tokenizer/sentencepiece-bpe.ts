/**
 * SentencePiece's BPE: beginning with characters, the neighbours whose joint piece has the highest
 * score are merged, of equal ones the leftmost
 * (https://github.com/google/sentencepiece/blob/master/src/bpe_model.cc, SampleEncode with alpha 0).
 */
import { MergeQueue } from './merge-queue.ts'
import { isTextType, pieceTypes, type Pieces } from './sentencepiece-pieces.ts'
import type { StringTrie } from './string-trie.ts'
import type { TokenIndex } from './token-index.ts'

export type BpeVocabulary = {
  readonly pieces: Pieces
  /** Of all pieces. */
  readonly index: TokenIndex
  /** User-defined pieces: never merged. null: none. */
  readonly symbols: StringTrie | null
  /** UTF-16 units of the longest text piece. */
  readonly maxPieceLength: number
}

/** @param text normalized. Gives the pieces; the caller looks up their ids. */
export const bpePieces = (vocabulary: BpeVocabulary, text: string): string[] => {
  const { pieces, index, maxPieceLength } = vocabulary
  const { starts, frozen } = characters(text, vocabulary.symbols)
  const count = frozen.length
  // The length of a symbol in UTF-16 units; 0: it has been merged into its left neighbour.
  const lengths = Int32Array.from(frozen, (_, index) => starts[index + 1]! - starts[index]!)
  const previous = Int32Array.from(frozen, (_, index) => index - 1)
  const next = Int32Array.from(frozen, (_, index) => (index + 1 === count ? -1 : index + 1))
  const queue = new MergeQueue()
  /** The two parts of merged pieces that are not used themselves. */
  const unusedParts = new Map<string, readonly [string, string]>()

  const consider = (left: number, right: number): void => {
    if (left === -1 || right === -1 || frozen[left] || frozen[right]) return
    const length = lengths[left]! + lengths[right]!
    if (length > maxPieceLength) return
    const start = starts[left]!
    const id = index.idAt(text, start, start + length)
    const type = id === undefined ? undefined : pieces.type(id)
    if (id === undefined || type === undefined || !isTextType(type)) return
    queue.push(pieces.score(id), left, right, length)
    if (type === pieceTypes.unused) {
      const middle = start + lengths[left]!
      const parts = [text.slice(start, middle), text.slice(middle, start + length)] as const
      unusedParts.set(text.slice(start, start + length), parts)
    }
  }

  for (let right = 1; right < count; right += 1) consider(right - 1, right)
  for (let top = queue.pop(); top !== undefined; top = queue.pop()) {
    const { left, right, length } = top
    const isStale = lengths[left] === 0 || lengths[right] === 0
    if (isStale || lengths[left]! + lengths[right]! !== length) continue
    lengths[left] = length
    lengths[right] = 0
    const after = next[right]!
    next[left] = after
    if (after !== -1) previous[after] = left
    consider(previous[left]!, left)
    consider(left, after)
  }

  const output: string[] = []
  /** An unused piece is taken apart again; each part is shorter, so this ends. */
  const put = (piece: string): void => {
    const id = unusedParts.size === 0 ? undefined : index.idOf(piece)
    const isUnused = id !== undefined && pieces.type(id) === pieceTypes.unused
    const parts = isUnused ? unusedParts.get(piece) : undefined
    if (parts === undefined) output.push(piece)
    else parts.forEach(put)
  }
  for (let index = count === 0 ? -1 : 0; index !== -1; index = next[index]!) {
    put(text.slice(starts[index], starts[index]! + lengths[index]!))
  }
  return output
}

/** Where each character or user-defined symbol begins, and at last the text's end. */
const characters = (text: string, symbols: StringTrie | null) => {
  const starts: number[] = []
  const frozen: boolean[] = []
  for (let at = 0; at < text.length;) {
    const symbol = symbols?.longestAt(text, at)
    starts.push(at)
    frozen.push(symbol !== undefined)
    at = symbol?.end ?? at + (text.codePointAt(at)! > 0xffff ? 2 : 1)
  }
  starts.push(text.length)
  return { starts, frozen }
}
