import { expect, test } from 'vitest'
import { seededRandom } from '../../../backend/engine/random.ts'
import {
  furthest,
  logSumExp,
  numBuckets,
  weighBuckets,
  weighTokens,
  weighTwice,
  weightOf,
} from '../../../backend/engine/softmax.ts'

test('weights are those of Math.exp to 2e-8, at the ends and all between', () => {
  let worst = 0
  for (let i = 0; i <= 100_000; i++) {
    const d = (furthest * i) / 100_000
    worst = Math.max(worst, Math.abs(weightOf(d) / Math.exp(-d) - 1))
  }
  expect(worst).toBeLessThan(2e-8)
})

test('the logarithm of the sum is stable for large logits and many equal ones', () => {
  const equal = new Float32Array(65_536).fill(90)
  expect(logSumExp(equal, 90)).toBeCloseTo(90 + Math.log(65_536), 7)
  expect(logSumExp(Float32Array.of(-1e4, 0, 1e4), 1e4)).toBeCloseTo(1e4, 7)
})

test('all ways to sum weights come to the same, for any number of logits, impossible ones among them', () => {
  const random = seededRandom(6)
  const isNear = (value: number, expected: number) => Math.abs(value / expected - 1) < 2e-8
  for (let size = 1; size < 3_000; size = Math.ceil(size * 1.3)) {
    const logits = Float32Array.from({ length: size }, () => 30 * random.next())
    const max = Math.max(...logits)
    if (size > 3) logits.fill(Number.NEGATIVE_INFINITY, 1, 2)
    if (size > 3 && logits[2] !== max) logits[2] = Number.NaN
    const at = (sharpness: number, reach: number): number =>
      logits.reduce((sum, logit) => {
        const d = (max - logit) * sharpness
        return d <= reach ? sum + Math.exp(-d) : sum
      }, 0)
    const weighing = { logits, max: max, sharpness: 1.5, reach: 5 }
    const [once, twice, few] = [0, 0, 0].map(() => new Float64Array(numBuckets))
    const tokens = Uint32Array.from(logits.keys())
    const { mass, plainMass } = weighTwice(weighing, twice!)
    expect([
      isNear(Math.exp(logSumExp(logits, max) - max), at(1, furthest)),
      isNear(plainMass, at(1, furthest)),
      isNear(mass, at(1.5, 5)),
      isNear(weighBuckets(weighing, once!), at(1.5, 5)),
      isNear(weighTokens(weighing, tokens, few!), at(1.5, 5)),
      once!.every((one, bucket) => Math.abs(one - few![bucket]!) < 1e-9),
      once!.every((one, bucket) => one === twice![bucket]),
    ]).toEqual(Array(7).fill(true))
  }
})
