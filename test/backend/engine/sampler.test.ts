import { describe, expect, test } from 'vitest'
import { seededRandom } from '../../../backend/engine/random.ts'
import {
  numTopTokens,
  sample as sampleWith,
  type DrawParams,
} from '../../../backend/engine/sampler.ts'
import { samplerScratch } from '../../../backend/engine/sampler-scratch.ts'
import type { Random } from '../../../backend/engine/random.ts'

const params = (given: Partial<DrawParams>): DrawParams => ({
  temperature: 1,
  topP: 1,
  topK: 0,
  minP: 0,
  ...given,
})

const sample = (logits: Float32Array, given: DrawParams, random: Random) => {
  const scratch = samplerScratch(logits.length)
  const top = scratch.top.select(logits, numTopTokens(given, logits.length))
  return sampleWith(logits, given, random, scratch, top, false)?.token ?? null
}

/** How often each token is drawn in `draws` draws. */
const histogram = (logits: Float32Array, given: Partial<DrawParams>, draws: number) => {
  const random = seededRandom(7)
  const counts = Array.from({ length: logits.length }, () => 0)
  for (let i = 0; i < draws; i++) counts[sample(logits, params(given), random) ?? -1]! += 1
  return counts
}

// Probabilities 0.5, 0.25, 0.15, 0.1.
const logits = Float32Array.from([0.5, 0.25, 0.15, 0.1].map(Math.log))

describe('sample', () => {
  test('takes the largest logit at temperature 0, the first of equals', () => {
    expect(sample(Float32Array.of(1, 5, 5, 2), params({ temperature: 0 }), seededRandom(1))).toBe(1)
    expect(sample(Float32Array.of(-3, -1, -2), params({ temperature: 0 }), seededRandom(1))).toBe(1)
  })

  test('draws by the probabilities', () => {
    const counts = histogram(logits, {}, 20_000)
    const expected = [10_000, 5_000, 3_000, 2_000]
    counts.forEach((count, token) => expect(Math.abs(count - expected[token]!)).toBeLessThan(300))
  })

  test('sharpens by a low temperature as softmax(logits / T) says', () => {
    const counts = histogram(logits, { temperature: 0.5 }, 20_000)
    const squares = [0.25, 0.0625, 0.0225, 0.01]
    const total = squares.reduce((a, b) => a + b)
    counts.forEach((count, token) =>
      expect(Math.abs(count - (20_000 * squares[token]!) / total)).toBeLessThan(300),
    )
  })

  test('top-k keeps the k most likely tokens and their proportions', () => {
    const counts = histogram(logits, { topK: 2 }, 9_000)
    expect(counts.slice(2)).toEqual([0, 0])
    expect(Math.abs(counts[0]! - 6_000)).toBeLessThan(300)
  })

  test.each([
    [0, [0]],
    [0.49, [0]],
    [0.51, [0, 1]],
    [0.74, [0, 1]],
    [0.89, [0, 1, 2]],
    [0.95, [0, 1, 2, 3]],
  ])('top-p %f keeps the tokens %j', (topP, kept) => {
    const counts = histogram(logits, { topP }, 2_000)
    expect(counts.flatMap((count, token) => (count > 0 ? [token] : []))).toEqual(kept)
  })

  test('top-p over a large flat vocabulary equals the plain definition', () => {
    const random = seededRandom(3)
    const wide = Float32Array.from({ length: 5_000 }, () => 6 * random.next())
    const order = [...wide.keys()].sort((a, b) => wide[b]! - wide[a]!)
    const weights = order.map((token) => Math.exp(wide[token]!))
    const mass = weights.reduce((a, b) => a + b)
    let reached = 0
    const size = weights.findIndex((weight) => (reached += weight) >= 0.6 * mass) + 1
    const nucleus = new Set(order.slice(0, size))
    const source = seededRandom(5)
    const drawn = new Set<number>()
    for (let i = 0; i < 1_000; i++) drawn.add(sample(wide, params({ topP: 0.6 }), source) ?? -1)
    expect([...drawn].filter((token) => !nucleus.has(token))).toEqual([])
    expect(drawn.size).toBeGreaterThan(size / 4)
  })

  test.each([1, 2, 50, 4_999])('top-k %i over a large vocabulary keeps the k largest', (topK) => {
    const random = seededRandom(4)
    const wide = Float32Array.from({ length: 5_000 }, () => Math.round(20 * random.next()))
    const order = [...wide.keys()].sort((a, b) => wide[b]! - wide[a]! || a - b)
    const kept = new Set(order.slice(0, topK))
    const drawn = Array.from({ length: 100 }, () =>
      sample(wide, params({ topK, temperature: 2 }), random),
    )
    expect(drawn.filter((token) => token === null || !kept.has(token))).toEqual([])
  })

  test.each([{}, { temperature: 0 }, { topK: 2 }, { topP: 0.9 }])(
    'logits that are no numbers give no token, with %j',
    (given) => {
      const random = seededRandom(1)
      for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
        expect(sample(new Float32Array(4).fill(value), params(given), random)).toBeNull()
      }
      expect(sample(Float32Array.of(1, Number.NaN, 90), params(given), random)).toBe(2)
    },
  )

  test('top-k counts before top-p: the mass is the one of the kept tokens', () => {
    // Of {0.5, 0.25} the first alone holds 2/3 of the mass.
    expect(histogram(logits, { topK: 2, topP: 0.66 }, 500)).toEqual([500, 0, 0, 0])
  })
})

test('a draw is the same however many of the likeliest tokens are known', () => {
  const random = seededRandom(8)
  for (let round = 0; round < 200; round++) {
    // Few or many tokens to a bucket, and tokens that min-p makes impossible.
    const spread = [0.01, 1, 20][round % 3]!
    const logits = Float32Array.from({ length: 3_000 }, () => spread * random.next())
    const given = params({
      topP: round % 2 === 0 ? 0.9 * random.next() : 1,
      minP: round % 5 === 0 ? 0.4 : 0,
    })
    const scratch = samplerScratch(logits.length)
    const drawn = [1, 5, 32, 300, 3_000].map((count) => {
      const top = scratch.top.select(logits, count)
      return sampleWith(logits, given, seededRandom(round), scratch, top, round % 2 === 0)?.token
    })
    expect(new Set(drawn).size).toBe(1)
  }
})

describe('seededRandom', () => {
  test('repeats by its seed and differs by it', () => {
    const draws = (seed: number) => {
      const random = seededRandom(seed)
      return Array.from({ length: 5 }, () => random.next())
    }
    expect(draws(42)).toEqual(draws(42))
    const seeds = [0, 1, -1, 2 ** 32, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER]
    expect(new Set(seeds.map((seed) => draws(seed).join())).size).toBe(seeds.length)
  })

  test('is uniform in [0, 1)', () => {
    const random = seededRandom(9)
    const buckets = Array.from({ length: 10 }, () => 0)
    for (let i = 0; i < 50_000; i++) buckets[Math.floor(random.next() * 10)]! += 1
    buckets.forEach((count) => expect(Math.abs(count - 5_000)).toBeLessThan(350))
  })
})
