/**
 * SentencePiece's unigram model: of all ways to cut a text into pieces the one with the highest sum of
 * scores, by Viterbi
 * (https://github.com/google/sentencepiece/blob/master/src/unigram_model.cc, EncodeOptimized).
 */
import { isTextType, pieceTypes, type Pieces } from './sentencepiece-pieces.ts'
import { StringTrie } from './string-trie.ts'

/** How much worse than the worst piece an unknown character is. */
const unknownPenalty = 10

export class UnigramModel {
  readonly #pieces = new StringTrie()
  /** By id; float32 except for user-defined pieces, as in the original. */
  readonly #scores: Float64Array
  readonly #unknownId: number
  readonly #unknownScore: number

  constructor(pieces: Pieces, unknownId: number) {
    let minScore = 3.4028234663852886e38
    // The original begins with the least positive float32, so this is never below 0.
    let maxScore = 1.1754943508222875e-38
    for (let id = 0; id < pieces.size; id++) {
      if (pieces.type(id) !== pieceTypes.normal) continue
      minScore = Math.min(minScore, pieces.score(id))
      maxScore = Math.max(maxScore, pieces.score(id))
    }
    this.#scores = new Float64Array(pieces.size)
    this.#unknownId = unknownId
    this.#unknownScore = Math.fround(minScore - unknownPenalty)
    for (let id = 0; id < pieces.size; id++) {
      const [text, type] = [pieces.text(id), pieces.type(id)]
      this.#scores[id] =
        type === pieceTypes.userDefined
          ? Math.fround(Buffer.byteLength(text) * maxScore) - 0.1
          : Math.fround(pieces.score(id))
      if (type === undefined || !isTextType(type) || type === pieceTypes.unused) continue
      this.#pieces.add(text, id)
    }
  }

  /** @param text normalized. Gives ids and where in the text each piece ends. */
  encode(text: string): { id: number; end: number }[] {
    // The best way to reach each place: its score in float32 as in the original, so that ties agree.
    const best = new Float32Array(text.length + 1)
    const lastStart = new Int32Array(text.length + 1).fill(-1)
    const lastId = new Int32Array(text.length + 1)
    const consider = (start: number, end: number, id: number, score: number): void => {
      const candidate = score + best[start]!
      if (lastStart[end] !== -1 && !(candidate > best[end]!)) return
      best[end] = candidate
      lastStart[end] = start
      lastId[end] = id
    }
    for (let start = 0; start < text.length;) {
      const characterEnd = start + (text.codePointAt(start)! > 0xffff ? 2 : 1)
      let hasCharacter = false
      this.#pieces.matchesAt(text, start, (id, end) => {
        consider(start, end, id, this.#scores[id]!)
        hasCharacter ||= end === characterEnd
      })
      if (!hasCharacter) {
        consider(start, characterEnd, this.#unknownId, Math.fround(this.#unknownScore))
      }
      start = characterEnd
    }
    const path: { id: number; end: number }[] = []
    for (let end = text.length; end > 0; end = lastStart[end]!) path.push({ id: lastId[end]!, end })
    return path.toReversed()
  }
}
