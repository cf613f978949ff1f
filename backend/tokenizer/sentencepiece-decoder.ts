/** Ids of SentencePiece → text, as SentencePieceProcessor decodes them. */
import { byteOf, decodeBytes } from './byte-fallback.ts'
import { spaceSymbol } from './sentencepiece-normalizer.ts'
import { pieceTypes } from './sentencepiece-pieces.ts'
import { TokenTable, type TokenTableMemory } from './token-table.ts'

/** What a thread is given to decode the same. */
export type SentencePieceDecoderData = {
  readonly pieces: TokenTableMemory
  /** uint8 by id: see {@link pieceTypes}. */
  readonly types: SharedArrayBuffer
  /** What an unknown token is decoded to. */
  readonly unknownSurface: string
  readonly addDummyPrefix: boolean
  readonly removeExtraWhitespaces: boolean
}

export class SentencePieceDecoder {
  readonly #data: SentencePieceDecoderData
  readonly #pieces: TokenTable
  readonly #types: Uint8Array

  constructor(data: SentencePieceDecoderData) {
    this.#data = data
    this.#pieces = new TokenTable(data.pieces)
    this.#types = new Uint8Array(data.types)
  }

  /**
   * The pieces' text.
   * @param stripPrefix whether the space that the dummy prefix put at the beginning is left out
   */
  decode(ids: readonly number[], stripPrefix = true): string {
    const { addDummyPrefix, removeExtraWhitespaces, unknownSurface } = this.#data
    let text = ''
    let bytes: number[] = []
    let isBeginning = stripPrefix && (addDummyPrefix || removeExtraWhitespaces)
    const putBytes = (): void => {
      if (bytes.length > 0) text += decodeBytes(Uint8Array.from(bytes))
      bytes = []
    }
    for (const id of ids) {
      const piece = this.#pieces.text(id)
      const type = this.#types[id]
      if (piece === undefined) continue
      if (type === pieceTypes.byte) {
        bytes.push(byteOf(piece) ?? 0)
        continue
      }
      putBytes()
      if (text !== '') isBeginning = false
      if (type === pieceTypes.control) continue
      if (type === pieceTypes.unknown) {
        text += unknownSurface
        continue
      }
      const hasPrefix = isBeginning && piece.startsWith(spaceSymbol)
      text += (hasPrefix ? piece.slice(1) : piece).replaceAll(spaceSymbol, ' ')
      if (hasPrefix && !removeExtraWhitespaces) isBeginning = false
    }
    putBytes()
    return text
  }
}
