import { describe, expect, test } from 'vitest'
import { ModelFolderError } from '../../../backend/model-folder-error.ts'
import {
  parseSentencePieceModel,
  type SentencePieceModel,
} from '../../../backend/tokenizer/sentencepiece-model.ts'
import { Pieces, pieceTypes, type Piece } from '../../../backend/tokenizer/sentencepiece-pieces.ts'
import { SentencePiece } from '../../../backend/tokenizer/sentencepiece.ts'
import { fixtureBytes, goldenDecoded, readGolden, texts } from '../../support/tokenizer-fixtures.ts'

const load = (file: string): SentencePiece =>
  new SentencePiece(parseSentencePieceModel(file, fixtureBytes(file)))

describe.each([
  ['llama-bpe.model', 'llama-bpe.json', 'BPE with byte fallback'],
  ['symbols-bpe.model', 'symbols-bpe.json', 'BPE with user-defined and control symbols'],
  ['unigram.model.gz', 'unigram.json', 'unigram with nmt_nfkc and symbols'],
])("Google's SentencePiece and ours agree: %s", (file, goldenFile) => {
  const golden = readGolden(goldenFile)
  const sentencePiece = load(file)

  test('on the ids of each text', () => {
    expect(texts.length).toBeGreaterThanOrEqual(300)
    expect(texts.map((text) => sentencePiece.encode(text))).toEqual(golden.ids)
  })

  test('on the text of these ids', () => {
    expect(golden.ids.map((ids) => sentencePiece.decode(ids))).toEqual(goldenDecoded(golden))
  })

  test('on the text of random ids, broken bytes among them', () => {
    expect(golden.randomIds.length).toBeGreaterThanOrEqual(100)
    expect(golden.randomIds.map((ids) => sentencePiece.decode(ids))).toEqual(golden.randomDecoded)
  })

  test('a text of 100 KB is not too much, whatever it holds: quadratic work would outlast the test', () => {
    for (const text of [
      texts.join('\n').repeat(20),
      'a'.repeat(1e5),
      ' '.repeat(1e5),
      '中文'.repeat(5e4),
    ]) {
      const ids = sentencePiece.encode(text.slice(0, 1e5))
      expect(ids.every((id) => id >= 0 && id < sentencePiece.size)).toBe(true)
      sentencePiece.decode(ids)
    }
  })
})

const piece = (text: string, score: number, type: number = pieceTypes.normal): Piece => ({
  text,
  score,
  type,
})

const bpe = (...pieces: Piece[]): SentencePieceModel => ({
  algorithm: 'bpe',
  pieces: Pieces.of([piece('<unk>', 0, pieceTypes.unknown), ...pieces]),
  byteFallback: false,
  unknownSurface: ' \u2047 ',
  normalizer: {
    precompiledCharsMap: new Uint8Array(0),
    addDummyPrefix: false,
    removeExtraWhitespaces: false,
    escapeWhitespaces: true,
  },
})

test('of merges with the same score the leftmost comes first', () => {
  const model = bpe(
    piece('a', -9),
    piece('b', -9),
    piece('ab', -1),
    piece('ba', -1),
    piece('aa', -1),
  )
  const sentencePiece = new SentencePiece(model)
  expect(sentencePiece.encode('aba')).toEqual([3, 1])
  expect(sentencePiece.encode('aaaaa')).toEqual([5, 5, 1])
})

test('an unused piece is taken apart into what it was merged from', () => {
  const model = bpe(
    piece('a', -9),
    piece('b', -9),
    piece('ab', -1, pieceTypes.unused),
    piece('abb', -2),
  )
  const sentencePiece = new SentencePiece(model)
  expect([sentencePiece.encode('ab'), sentencePiece.encode('abb')]).toEqual([[1, 2], [4]])
})

test('a lone surrogate becomes U+FFFD, as in UTF-8', () => {
  const sentencePiece = load('llama-bpe.model')
  expect(sentencePiece.decode(sentencePiece.encode('a\ud800b'))).toBe('a\uFFFDb')
})

/** The message of the error, or `a model`. */
const outcomeOf = (file: Uint8Array): string => {
  try {
    const model = parseSentencePieceModel('/m', file)
    return Array.isArray(new SentencePiece(model).encode('hello 你好')) ? 'a model' : ''
  } catch (error) {
    return error instanceof Error ? error.message : ''
  }
}

const isExpected = (outcome: string): boolean =>
  /^a model$|^cannot use \/m: it is no SentencePiece model|^it has no unknown piece$|^it falls back|^piece /.test(
    outcome,
  )

describe('a damaged tokenizer.model gives a clear error', () => {
  const file = fixtureBytes('llama-bpe.model')

  test('when it is cut off anywhere', () => {
    const outcomes = new Set<string>()
    for (let length = 0; length < file.length; length += 7) {
      outcomes.add(outcomeOf(file.subarray(0, length)))
    }
    // Between two fields a cut is seen only by what is missing then; the last ones have defaults.
    expect([...outcomes].filter((outcome) => !isExpected(outcome))).toEqual([])
    expect(outcomes.size).toBeGreaterThan(5)
  })

  test('when a length is huge', () => {
    const huge = Uint8Array.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0x7f, 0)
    expect(() => parseSentencePieceModel('/m/tokenizer.model', huge)).toThrow(
      new ModelFolderError(
        '/m/tokenizer.model',
        'it is no SentencePiece model or is damaged: field 1 would have 34359738367 bytes where 1 are left',
      ),
    )
  })

  test('when bytes are changed at random: an error or a model, never a hang', () => {
    let seed = 12345
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff
      return seed % below
    }
    const outcomes: string[] = []
    for (let round = 0; round < 300; round += 1) {
      const broken = file.slice()
      for (let change = 0; change < 4; change += 1) broken[random(broken.length)] = random(256)
      outcomes.push(outcomeOf(broken))
    }
    expect(outcomes.filter((outcome) => !isExpected(outcome))).toEqual([])
    expect(outcomes.filter((outcome) => outcome !== 'a model').length).toBeGreaterThan(100)
  })

  test.each([
    [
      'no unknown piece',
      { ...bpe(), pieces: Pieces.of([piece('a', 0)]) },
      'it has no unknown piece',
    ],
    ['a piece twice', bpe(piece('a', 0), piece('a', 0)), 'piece "a" is there twice'],
    ['an endless score', bpe(piece('a', Number.NaN)), 'piece 1 has the score NaN'],
    [
      'missing byte pieces',
      { ...bpe(), byteFallback: true },
      'it falls back to bytes but has no piece for byte 0',
    ],
  ])('when it has %s', (_, model, message) => {
    expect(() => new SentencePiece(model)).toThrow(new Error(message))
  })
})
