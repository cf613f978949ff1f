/**
 * SentencePiece: text ↔ ids by a model's pieces alone, as SentencePieceProcessor does
 * (https://github.com/google/sentencepiece/blob/master/src/sentencepiece_processor.cc). It knows
 * nothing of special tokens in text; those are the tokenizer's around it.
 */
import { byteTokenIds } from './byte-fallback.ts'
import { bpePieces, type BpeVocabulary } from './sentencepiece-bpe.ts'
import { SentencePieceDecoder, type SentencePieceDecoderData } from './sentencepiece-decoder.ts'
import type { SentencePieceModel } from './sentencepiece-model.ts'
import { SentencePieceNormalizer } from './sentencepiece-normalizer.ts'
import { isTextType, pieceTypes } from './sentencepiece-pieces.ts'
import { UnigramModel } from './sentencepiece-unigram.ts'
import { StringTrie } from './string-trie.ts'
import { sentencePieceBytes } from './token-bytes.ts'
import type { TokenIndex } from './token-index.ts'

const utf8 = new TextEncoder()

export class SentencePiece {
  readonly #model: SentencePieceModel
  readonly #index: TokenIndex
  readonly #unknownId: number
  /** null: characters without a piece become the unknown token. */
  readonly #byteIds: Int32Array | null
  readonly #normalizer: SentencePieceNormalizer
  readonly #decoder: SentencePieceDecoder
  readonly #pieceTokens: (text: string) => { piece: string; id: number }[]

  /** @throws Error that says what is wrong with the pieces */
  constructor(model: SentencePieceModel) {
    this.#model = model
    const { pieces } = model
    const symbols = new StringTrie()
    let hasSymbols = false
    let unknownId = -1
    let maxPieceLength = 0
    for (let id = 0; id < pieces.size; id++) {
      const [length, type] = [pieces.texts.lengthOf(id), pieces.type(id) ?? 0]
      if (length === 0) throw new Error(`piece ${id} is empty`)
      if (!Number.isFinite(pieces.score(id))) {
        throw new Error(`piece ${id} has the score ${pieces.score(id)}`)
      }
      if (type === pieceTypes.unknown) unknownId = id
      if (type === pieceTypes.userDefined) {
        symbols.add(pieces.text(id), id)
        hasSymbols = true
      }
      if (isTextType(type)) maxPieceLength = Math.max(maxPieceLength, length)
    }
    const index = pieces.index()
    this.#index = index
    if (unknownId === -1) throw new Error('it has no unknown piece')
    this.#unknownId = unknownId
    this.#decoder = new SentencePieceDecoder(this.decoderData)
    this.#byteIds = model.byteFallback ? byteTokenIds(pieces) : null
    const frozen = hasSymbols ? symbols : null
    this.#normalizer = new SentencePieceNormalizer(model.normalizer, frozen)
    if (model.algorithm === 'unigram') {
      const unigram = new UnigramModel(pieces, unknownId)
      this.#pieceTokens = (text) => {
        let start = 0
        return unigram.encode(text).map(({ id, end }) => {
          const piece = text.slice(start, end)
          start = end
          return { piece, id }
        })
      }
    } else {
      const bpe: BpeVocabulary = { pieces, index, symbols: frozen, maxPieceLength }
      this.#pieceTokens = (text) =>
        bpePieces(bpe, text).map((piece) => ({ piece, id: index.idOf(piece) ?? unknownId }))
    }
  }

  /**
   * Characters of a text that one token can stand for at most; null where there is no such number:
   * where rules shorten the text first, or a run of unknown characters is one token.
   */
  get longestPiece(): number | null {
    const { normalizer, pieces } = this.#model
    const shortens = normalizer.removeExtraWhitespaces || normalizer.precompiledCharsMap.length > 0
    if (shortens || this.#byteIds === null) return null
    let longest = 1
    for (let id = 0; id < pieces.size; id++) longest = Math.max(longest, pieces.texts.lengthOf(id))
    return longest
  }

  get size(): number {
    return this.#model.pieces.size
  }

  /** The id of a piece by its text, of whichever type. */
  idOf(piece: string): number | undefined {
    return this.#index.idOf(piece)
  }

  /** @param dummyPrefix whether a space is put before the text; by default what the model says */
  encode(text: string, dummyPrefix = this.#model.normalizer.addDummyPrefix): number[] {
    const ids: number[] = []
    let afterUnknown = false
    for (const { piece, id } of this.#pieceTokens(
      this.#normalizer.normalize(text.toWellFormed(), dummyPrefix),
    )) {
      const isUnknown = id === this.#unknownId
      if (!isUnknown) ids.push(id)
      else if (this.#byteIds !== null) {
        for (const byte of utf8.encode(piece)) ids.push(this.#byteIds[byte]!)
      } else if (!afterUnknown) ids.push(id)
      afterUnknown = isUnknown
    }
    return ids
  }

  /** See {@link SentencePieceDecoder.decode}. */
  decode(ids: readonly number[], stripPrefix = true): string {
    return this.#decoder.decode(ids, stripPrefix)
  }

  get decoderData(): SentencePieceDecoderData {
    const { pieces, unknownSurface, normalizer } = this.#model
    const { addDummyPrefix, removeExtraWhitespaces } = normalizer
    const { texts, types } = pieces
    return { pieces: texts.memory, types, unknownSurface, addDummyPrefix, removeExtraWhitespaces }
  }

  /** The bytes that a piece stands for, in the middle of a text; a control piece's are its name's. */
  pieceBytes(id: number): Uint8Array {
    const { pieces, unknownSurface } = this.#model
    const piece = pieces.texts.text(id)
    if (piece === undefined) return new Uint8Array()
    if (pieces.type(id) === pieceTypes.unknown) return utf8.encode(unknownSurface)
    return sentencePieceBytes(piece)
  }

  /** Whether the piece has no part in the text. */
  isControl(id: number): boolean {
    return this.#model.pieces.type(id) === pieceTypes.control
  }
}
