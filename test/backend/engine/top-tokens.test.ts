import { expect, test } from 'vitest'
import { seededRandom } from '../../../backend/engine/random.ts'
import { TopTokens } from '../../../backend/engine/top-tokens.ts'

test('the k largest, the likeliest first, of equals the smaller id: as a sort gives them', () => {
  const random = seededRandom(5)
  for (let round = 0; round < 200; round++) {
    const size = 1 + Math.floor(random.next() * 3_000)
    const steps = round % 2 === 0 ? 10 : 1e6
    const logits = Float32Array.from(
      { length: size },
      () => Math.round(steps * random.next()) / 1_000,
    )
    const k = Math.floor(random.next() * size * 1.2)
    const sorted = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b)
    expect(Array.from(new TopTokens(size).select(logits, k))).toEqual(sorted.slice(0, k))
  }
})

test('what is no number is left out, and a selection forgets the one before', () => {
  const top = new TopTokens(4)
  const logits = Float32Array.of(Number.NaN, 1, Number.NEGATIVE_INFINITY, 3)
  expect(Array.from(top.select(logits, 4))).toEqual([3, 1, 2])
  expect(Array.from(top.select(Float32Array.of(5, 4, 3, 2), 2))).toEqual([0, 1])
  expect(Array.from(top.select(new Float32Array(4).fill(Number.NaN), 2))).toEqual([])
})
