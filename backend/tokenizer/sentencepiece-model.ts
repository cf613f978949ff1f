/**
 * A SentencePiece model as data, and its reader: `tokenizer.model` holds a ModelProto
 * (https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto). Only the
 * fields that encoding and decoding need are kept.
 */
import { ModelFolderError } from '../model-folder-error.ts'
import { protobufFields, protobufFloat, protobufString } from './protobuf-reader.ts'
import { PiecesBuilder, pieceTypes, type Piece, type Pieces } from './sentencepiece-pieces.ts'

export type NormalizerSpec = {
  /** Empty: identity. */
  readonly precompiledCharsMap: Uint8Array
  readonly addDummyPrefix: boolean
  readonly removeExtraWhitespaces: boolean
  readonly escapeWhitespaces: boolean
}

export type SentencePieceModel = {
  readonly algorithm: 'unigram' | 'bpe'
  /** By token id. */
  readonly pieces: Pieces
  /** Whether characters without a piece become byte pieces `<0x..>`. */
  readonly byteFallback: boolean
  /** What an unknown token is decoded to. */
  readonly unknownSurface: string
  readonly normalizer: NormalizerSpec
}

const algorithms: Readonly<Record<number, SentencePieceModel['algorithm']>> = {
  1: 'unigram',
  2: 'bpe',
}

/** The largest known vocabulary has 900,000 pieces. */
const maxPieces = 1 << 21

const parsePiece = (message: Uint8Array): Piece => {
  let text = ''
  let score = 0
  let type: number = pieceTypes.normal
  for (const field of protobufFields(message)) {
    if (field.number === 1) text = protobufString(field)
    else if (field.number === 2) score = protobufFloat(field)
    else if (field.number === 3) type = field.varint
  }
  return { text, score, type }
}

const parseNormalizer = (message: Uint8Array): NormalizerSpec => {
  const spec = {
    precompiledCharsMap: new Uint8Array(0),
    addDummyPrefix: true,
    removeExtraWhitespaces: true,
    escapeWhitespaces: true,
  }
  for (const field of protobufFields(message)) {
    if (field.number === 2) spec.precompiledCharsMap = field.bytes.slice()
    else if (field.number === 3) spec.addDummyPrefix = field.varint !== 0
    else if (field.number === 4) spec.removeExtraWhitespaces = field.varint !== 0
    else if (field.number === 5) spec.escapeWhitespaces = field.varint !== 0
  }
  return spec
}

const parseTrainer = (message: Uint8Array) => {
  const spec = { modelType: 1, byteFallback: false, unknownSurface: ' \u2047 ' }
  for (const field of protobufFields(message)) {
    if (field.number === 3) spec.modelType = field.varint
    else if (field.number === 35) spec.byteFallback = field.varint !== 0
    else if (field.number === 44) spec.unknownSurface = protobufString(field)
    else if (field.number === 24 && field.varint !== 0) {
      throw new Error('it treats whitespace as a suffix, which is not supported')
    }
  }
  return spec
}

const parse = (file: Uint8Array): SentencePieceModel => {
  const pieces = new PiecesBuilder()
  let normalizer = parseNormalizer(new Uint8Array(0))
  let trainer = parseTrainer(new Uint8Array(0))
  for (const { number, bytes } of protobufFields(file)) {
    if (number === 1) {
      const { text, score, type } = parsePiece(bytes)
      if (pieces.add(text, score, type) <= maxPieces) continue
      throw new Error(`it has more than ${maxPieces} pieces`)
    }
    if (number === 2) trainer = parseTrainer(bytes)
    else if (number === 3) normalizer = parseNormalizer(bytes)
    else if (number === 5 && parseNormalizer(bytes).precompiledCharsMap.length > 0) {
      throw new Error('it has rules for denormalisation, which are not supported')
    }
  }
  const algorithm = algorithms[trainer.modelType]
  if (algorithm === undefined) {
    throw new Error('it is neither a unigram nor a BPE model, which are those supported')
  }
  const { byteFallback, unknownSurface } = trainer
  return { algorithm, pieces: pieces.build(), byteFallback, unknownSurface, normalizer }
}

/** @param path the file's, for errors. @throws ModelFolderError when it is no such model or cut off */
export const parseSentencePieceModel = (path: string, file: Uint8Array): SentencePieceModel => {
  try {
    return parse(file)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new ModelFolderError(path, `it is no SentencePiece model or is damaged: ${reason}`)
  }
}
