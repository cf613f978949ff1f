/**
 * SentencePiece: text ↔ ids by a model's pieces alone, as SentencePieceProcessor does
 * (https://github.com/google/sentencepiece/blob/master/src/sentencepiece_processor.cc). It knows
 * nothing of special tokens in text; those are the tokenizer's around it.
 */
import { byteOf, byteTokenIds, decodeBytes } from './byte-fallback.ts'
import { bpePieces, type BpeVocabulary } from './sentencepiece-bpe.ts'
import { pieceTypes, type SentencePieceModel } from './sentencepiece-model.ts'
import { SentencePieceNormalizer, spaceSymbol } from './sentencepiece-normalizer.ts'
import { UnigramModel } from './sentencepiece-unigram.ts'
import { StringTrie } from './string-trie.ts'
import { sentencePieceBytes } from './token-bytes.ts'

const utf8 = new TextEncoder()

export class SentencePiece {
  readonly #model: SentencePieceModel
  readonly #ids = new Map<string, number>()
  readonly #unknownId: number
  /** null: characters without a piece become the unknown token. */
  readonly #byteIds: Int32Array | null
  readonly #normalizer: SentencePieceNormalizer
  readonly #pieceTokens: (text: string) => { piece: string; id: number }[]

  /** @throws Error that says what is wrong with the pieces */
  constructor(model: SentencePieceModel) {
    this.#model = model
    const { pieces } = model
    const textPieces = new Map<string, number>()
    const symbols = new StringTrie()
    let hasSymbols = false
    let unknownId = -1
    let maxPieceLength = 0
    for (const [id, { text, score, type }] of pieces.entries()) {
      if (text === '') throw new Error(`piece ${id} is empty`)
      if (!Number.isFinite(score)) throw new Error(`piece ${id} has the score ${score}`)
      if (this.#ids.has(text)) throw new Error(`piece ${JSON.stringify(text)} is there twice`)
      this.#ids.set(text, id)
      if (type === pieceTypes.unknown) unknownId = id
      if (type === pieceTypes.userDefined) {
        symbols.add(text, id)
        hasSymbols = true
      }
      if (isTextType(type)) {
        textPieces.set(text, id)
        maxPieceLength = Math.max(maxPieceLength, text.length)
      }
    }
    if (unknownId === -1) throw new Error('it has no unknown piece')
    this.#unknownId = unknownId
    this.#byteIds = model.byteFallback ? byteTokenIds(pieces) : null
    const frozen = hasSymbols ? symbols : null
    this.#normalizer = new SentencePieceNormalizer(model.normalizer, frozen)
    if (model.algorithm === 'unigram') {
      const unigram = new UnigramModel(pieces, textPieces, unknownId)
      this.#pieceTokens = (text) => {
        let start = 0
        return unigram.encode(text).map(({ id, end }) => {
          const piece = text.slice(start, end)
          start = end
          return { piece, id }
        })
      }
    } else {
      const bpe: BpeVocabulary = { pieces, textPieces, symbols: frozen, maxPieceLength }
      this.#pieceTokens = (text) =>
        bpePieces(bpe, text).map((piece) => ({ piece, id: this.#ids.get(piece) ?? unknownId }))
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
    return pieces.reduce((longest, { text }) => Math.max(longest, text.length), 1)
  }

  get size(): number {
    return this.#model.pieces.length
  }

  /** The id of a piece by its text, of whichever type. */
  idOf(piece: string): number | undefined {
    return this.#ids.get(piece)
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

  /**
   * The pieces' text.
   * @param stripPrefix whether the space that the dummy prefix put at the beginning is left out
   */
  decode(ids: readonly number[], stripPrefix = true): string {
    const { addDummyPrefix, removeExtraWhitespaces } = this.#model.normalizer
    let text = ''
    let bytes: number[] = []
    let isBeginning = stripPrefix && (addDummyPrefix || removeExtraWhitespaces)
    const putBytes = (): void => {
      if (bytes.length > 0) text += decodeBytes(Uint8Array.from(bytes))
      bytes = []
    }
    for (const id of ids) {
      const piece = this.#model.pieces[id]
      if (piece === undefined) continue
      if (piece.type === pieceTypes.byte) {
        bytes.push(byteOf(piece.text) ?? 0)
        continue
      }
      putBytes()
      if (text !== '') isBeginning = false
      if (piece.type === pieceTypes.control) continue
      if (piece.type === pieceTypes.unknown) {
        text += this.#model.unknownSurface
        continue
      }
      const hasPrefix = isBeginning && piece.text.startsWith(spaceSymbol)
      text += (hasPrefix ? piece.text.slice(1) : piece.text).replaceAll(spaceSymbol, ' ')
      if (hasPrefix && !removeExtraWhitespaces) isBeginning = false
    }
    putBytes()
    return text
  }

  /** The bytes that a piece stands for, in the middle of a text; a control piece's are its name's. */
  pieceBytes(id: number): Uint8Array {
    const piece = this.#model.pieces[id]
    if (piece === undefined) return new Uint8Array()
    if (piece.type === pieceTypes.unknown) return utf8.encode(this.#model.unknownSurface)
    return sentencePieceBytes(piece.text)
  }

  /** Whether the piece has no part in the text. */
  isControl(id: number): boolean {
    return this.#model.pieces[id]?.type === pieceTypes.control
  }
}

/** Whether text may become such a piece, as in model_interface.cc, InitializePieces. */
const isTextType = (type: number): boolean =>
  type !== pieceTypes.unknown && type !== pieceTypes.control && type !== pieceTypes.byte
