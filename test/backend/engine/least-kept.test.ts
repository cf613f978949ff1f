import { expect, test } from 'vitest'
import { leastKept } from '../../../backend/engine/least-kept.ts'
import { seededRandom } from '../../../backend/engine/random.ts'

const weighing = { logits: new Float32Array(), max: 0, sharpness: 1, reach: 36 }

/** By a sort, in double precision. */
const plain = (values: Float32Array, wanted: number) => {
  const sorted = values.toSorted().toReversed()
  let mass = 0
  let count = 0
  while (count < sorted.length && (count === 0 || mass < wanted)) mass += Math.exp(sorted[count++]!)
  const least = sorted[count - 1]!
  return { least, equals: sorted.slice(0, count).filter((one) => one === least).length, mass }
}

test('as many of the largest as hold the mass: what a sort keeps', () => {
  const random = seededRandom(4)
  for (let round = 0; round < 2_000; round++) {
    const size = 1 + Math.floor(random.next() * (round % 10 === 0 ? 2_000 : 40))
    // All equal, many equal, or none.
    const steps = [1, 4, 1e6][round % 3]!
    const values = Float32Array.from(
      { length: size },
      () => -Math.floor(steps * random.next()) / (steps * 100),
    )
    if (round % 4 === 0) values.sort()
    const total = values.reduce((sum, value) => sum + Math.exp(value), 0)
    const wanted = total * random.next()
    const expected = plain(values, wanted)
    const kept = leastKept(weighing, values.slice(), wanted)
    expect([kept.least, kept.equals]).toEqual([expected.least, expected.equals])
    expect(Math.abs(kept.mass - expected.mass)).toBeLessThan(1e-6 * total)
  }
})

test('one at least, and all where rounding asks for more than all', () => {
  const values = Float32Array.of(-0.01, -0.02, -0.02, 0)
  expect(leastKept(weighing, values.slice(), 0)).toMatchObject({ least: 0, equals: 1 })
  expect(leastKept(weighing, values.slice(), 9)).toMatchObject({
    least: Math.fround(-0.02),
    equals: 2,
  })
  expect(leastKept(weighing, Float32Array.of(-3), 9)).toMatchObject({ least: -3, equals: 1 })
})
