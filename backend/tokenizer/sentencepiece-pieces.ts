/** The pieces of a SentencePiece model, by column: with an object for each, a vocabulary takes megabytes more. */
import { TokenIndex } from './token-index.ts'
import { TokenTableBuilder, type TokenTable } from './token-table.ts'

/** As in ModelProto.SentencePiece.Type, and in GGUF's tokenizer.ggml.token_type. */
export const pieceTypes = {
  normal: 1,
  unknown: 2,
  control: 3,
  userDefined: 4,
  unused: 5,
  byte: 6,
} as const

const knownTypes: readonly number[] = Object.values(pieceTypes)

/** What is none of {@link pieceTypes}: text may become such a piece. */
const otherType = 0

/** Whether text may become such a piece, as in model_interface.cc, InitializePieces. */
export const isTextType = (type: number): boolean =>
  type !== pieceTypes.unknown && type !== pieceTypes.control && type !== pieceTypes.byte

export type Piece = {
  readonly text: string
  /** A log-probability (unigram) or minus the merge's rank (BPE), a float32. */
  readonly score: number
  /** One of `pieceTypes`; anything else counts as normal. */
  readonly type: number
}

export class Pieces {
  readonly texts: TokenTable
  /** uint8 by id, in memory that threads share. */
  readonly types: SharedArrayBuffer
  readonly #types: Uint8Array
  readonly #scores: Float64Array

  /** Made by {@link PiecesBuilder}. */
  constructor(texts: TokenTable, types: SharedArrayBuffer, scores: Float64Array) {
    this.texts = texts
    this.types = types
    this.#types = new Uint8Array(types)
    this.#scores = scores
  }

  static of(pieces: Iterable<Piece>): Pieces {
    const builder = new PiecesBuilder()
    for (const { text, score, type } of pieces) builder.add(text, score, type)
    return builder.build()
  }

  get size(): number {
    return this.#types.length
  }

  text(id: number): string {
    return this.texts.text(id) ?? ''
  }

  /** undefined: there is no such piece. */
  type(id: number): number | undefined {
    return this.#types[id]
  }

  score(id: number): number {
    return this.#scores[id] ?? 0
  }

  /** @throws Error when two pieces have the same text */
  index(): TokenIndex {
    const index = new TokenIndex(this.texts)
    for (let id = 0; id < this.size; id++) {
      if (!index.add(id)) throw new Error(`piece ${JSON.stringify(this.text(id))} is there twice`)
    }
    return index
  }
}

/** Makes pieces one by one. */
export class PiecesBuilder {
  readonly #texts = new TokenTableBuilder()
  readonly #types: number[] = []
  readonly #scores: number[] = []

  /** @returns how many there are now */
  add(text: string, score: number, type: number): number {
    this.#texts.add(text)
    this.#scores.push(score)
    return this.#types.push(knownTypes.includes(type) ? type : otherType)
  }

  build(): Pieces {
    const types = new SharedArrayBuffer(this.#types.length)
    new Uint8Array(types).set(this.#types)
    return new Pieces(this.#texts.build(), types, Float64Array.from(this.#scores))
  }
}
