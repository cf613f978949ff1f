import { expect, test } from 'vitest'
import { furthest, logSumExp, numBuckets, weightOf } from '../../../backend/engine/softmax.ts'

test('weights are those of Math.exp to 2e-8, at the ends and all between', () => {
  let worst = 0
  for (let i = 0; i <= 100_000; i++) {
    const d = (furthest * i) / 100_000
    worst = Math.max(worst, Math.abs(weightOf(d) / Math.exp(-d) - 1))
  }
  expect(worst).toBeLessThan(2e-8)
})

test('the logarithm of the sum is stable for large logits and many equal ones', () => {
  const masses = new Float64Array(numBuckets)
  const equal = new Float32Array(65_536).fill(90)
  expect(logSumExp(equal, 90, masses)).toBeCloseTo(90 + Math.log(65_536), 7)
  expect(logSumExp(Float32Array.of(-1e4, 0, 1e4), 1e4, masses)).toBeCloseTo(1e4, 7)
})
