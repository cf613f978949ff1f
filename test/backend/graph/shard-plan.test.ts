import { describe, expect, test } from 'vitest'
import { planShards, ShardingError, type ShardedSizes } from '../../../backend/graph/shard-plan.ts'

/** The shapes of Llama 2 70B, and of TigerBot's with its larger vocabulary. */
const large: ShardedSizes = {
  numLayers: 80,
  numHeads: 64,
  numKvHeads: 8,
  headDim: 128,
  intermediateSize: 28672,
  vocabSize: 65107,
}

const plan = (tensorParallelSize: number, pipelineParallelSize: number, sizes: object = {}) =>
  planShards({ ...large, ...sizes }, { tensorParallelSize, pipelineParallelSize })

const lengths = (ranges: readonly { begin: number; end: number }[]): number[] =>
  ranges.map(({ begin, end }) => end - begin)

test('one rank has the whole model, without padding', () => {
  expect(plan(1, 1)).toEqual([
    {
      rank: 0,
      stage: 0,
      tensorRank: 0,
      tensorParallelSize: 1,
      isFirstStage: true,
      isLastStage: true,
      layers: { begin: 0, end: 80 },
      heads: { begin: 0, end: 64 },
      kvHeads: { begin: 0, end: 8 },
      ffn: { begin: 0, end: 28672 },
      vocab: { begin: 0, end: 65107 },
      vocabRows: 65107,
    },
  ])
})

test('80 layers over 6 stages are 14, 14, 13, 13, 13 and 13 without a gap', () => {
  const layers = plan(1, 6).map((rank) => rank.layers)
  expect(lengths(layers)).toEqual([14, 14, 13, 13, 13, 13])
  expect(layers.map(({ begin }) => begin)).toEqual([0, 14, 28, 41, 54, 67])
})

test('the last of 8 × 4 ranks of a 70B model has these parts', () => {
  expect(plan(8, 4).at(-1)).toEqual({
    rank: 31,
    stage: 3,
    tensorRank: 7,
    tensorParallelSize: 8,
    isFirstStage: false,
    isLastStage: true,
    layers: { begin: 60, end: 80 },
    heads: { begin: 56, end: 64 },
    kvHeads: { begin: 7, end: 8 },
    ffn: { begin: 25088, end: 28672 },
    vocab: { begin: 56973, end: 65107 },
    vocabRows: 8144,
  })
})

test('key and value heads are repeated where there are more ranks than heads', () => {
  expect(plan(16, 1).map(({ kvHeads }) => kvHeads.begin)).toEqual([
    0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7,
  ])
  expect(plan(4, 1, { numKvHeads: 1 }).map(({ kvHeads }) => kvHeads)).toEqual(
    Array.from({ length: 4 }, () => ({ begin: 0, end: 1 })),
  )
})

test.each([1, 2, 4, 8, 16, 32, 64])(
  '%i ranks have every query head, feature and token once',
  (T) => {
    for (const part of ['heads', 'ffn', 'vocab'] as const) {
      const ranges = plan(T, 1).map((rank) => rank[part])
      const total = { heads: 64, ffn: 28672, vocab: 65107 }[part]
      expect(ranges.map(({ begin }) => begin).slice(1)).toEqual(
        ranges.map(({ end }) => end).slice(0, -1),
      )
      expect([ranges[0]?.begin, ranges.at(-1)?.end]).toEqual([0, total])
    }
  },
)

test('each query head is where its key and value head is', () => {
  for (const T of [1, 2, 4, 8, 16, 32, 64]) {
    for (const { heads, kvHeads } of plan(T, 1)) {
      const [first, last] = [Math.floor(heads.begin / 8), Math.floor((heads.end - 1) / 8)]
      expect([first, last]).toEqual([kvHeads.begin, kvHeads.end - 1])
    }
  }
})

test('a vocabulary smaller than its padding leaves ranks without tokens, and each with zeros', () => {
  const ranks = plan(4, 1, { vocabSize: 5 })
  expect(ranks.map(({ vocab, vocabRows }) => [vocab.begin, vocab.end, vocabRows])).toEqual([
    [0, 2, 16],
    [2, 4, 16],
    [4, 5, 16],
    [5, 5, 16],
  ])
})

describe('what cannot be split is refused with the sizes that would work', () => {
  test.each<[string, () => unknown, string]>([
    [
      'query heads, and a feed-forward part, that do not divide',
      () => plan(3, 1),
      'the model cannot be split over a tensor parallel size of 3: its 64 query heads do not divide by 3, its 8 key and value heads neither divide by 3 nor divide it, its intermediate size 28672 does not divide by 3; sizes that work: 1, 2, 4, 8, 16, 32, 64',
    ],
    [
      'key and value heads that do not divide',
      () => plan(4, 1, { numHeads: 24, numKvHeads: 6 }),
      'its 6 key and value heads neither divide by 4 nor divide it; sizes that work: 1, 2',
    ],
    [
      'more stages than layers',
      () => plan(1, 81),
      'the model cannot be split over a pipeline parallel size of 81: it has 80 layers; sizes that work: 1 to 80',
    ],
    ['no rank at all', () => plan(0, 1), 'a parallel size must be a whole number from 1, not 0'],
    ['half a stage', () => plan(1, 0.5), 'a parallel size must be a whole number from 1, not 0.5'],
  ])('%s', (_name, call, message) => {
    expect(call).toThrow(ShardingError)
    expect(call).toThrow(message)
  })
})

describe('quantised in blocks of 32', () => {
  const quantized = (tensorParallelSize: number, sizes: object) =>
    planShards({ ...large, ...sizes }, { tensorParallelSize, pipelineParallelSize: 1 }, 'int4')

  test('a split between blocks is as without', () => {
    expect(quantized(8, {})).toEqual(plan(8, 1))
  })

  test('a split inside a block is refused with the numbers and the sizes that work', () => {
    const sizes = { numHeads: 12, numKvHeads: 4, headDim: 16, intermediateSize: 192 }
    expect(() => quantized(4, sizes)).toThrow(
      new ShardingError(
        'the model cannot be split over a tensor parallel size of 4: ' +
          "a rank's query heads have 48 features, no whole blocks of 32 for int4, " +
          "a rank's feed-forward part has 48 features, no whole blocks of 32 for int4; " +
          'sizes that work: 1, 2',
      ),
    )
  })

  test('alone, a rank may have a padded block', () => {
    expect(quantized(1, { intermediateSize: 80 })).toHaveLength(1)
  })
})
