import { expect, test } from 'vitest'
import { FlapGuard } from '../../../gateway/tunnel/flap-guard.ts'

/** When it is left alone, looked at each second for `seconds`, if it is lost whenever it serves. */
const simulate = (seconds: number, isLostAt: (second: number) => boolean) => {
  const guard = new FlapGuard()
  const changes: number[] = []
  let wasFlapping = false
  for (let second = 0; second < seconds; second++) {
    if (isLostAt(second)) guard.lost(second * 1000)
    const isFlapping = guard.isFlapping(second * 1000)
    if (isFlapping !== wasFlapping) changes.push(second)
    wasFlapping = isFlapping
  }
  return changes
}

test('two losses in a minute are bad luck, three are flapping', () => {
  expect(simulate(120, (second) => [0, 30].includes(second))).toEqual([])
  expect(simulate(120, (second) => [0, 30, 59].includes(second))).toEqual([59, 69])
  expect(simulate(300, (second) => second % 40 === 0)).toEqual([])
})

test('connections that break together are one loss', () => {
  const guard = new FlapGuard()
  for (const at of [0, 1, 2, 3]) guard.lost(at)
  expect(guard.isFlapping(4)).toBe(false)
})

test('one that goes on flapping is left alone for longer and longer: it does not oscillate', () => {
  // Lost each 5 s for half an hour: without a guard it would change 720 times.
  const changes = simulate(1800, (second) => second % 5 === 0)
  expect(changes.length).toBeLessThanOrEqual(2)
  expect(changes[0]).toBe(10)
})

test('one that flaps only under traffic is tried ever more rarely', () => {
  const guard = new FlapGuard()
  let tries = 0
  for (let second = 0; second < 3600; second++) {
    // It serves for 3 s, and then its traffic kills it.
    if (!guard.isFlapping(second * 1000) && ++tries % 3 === 0) guard.lost(second * 1000)
  }
  // 1200 without a guard.
  expect(tries).toBeLessThan(60)
})

test('it is forgiven after a minute without a loss, and begins anew', () => {
  const guard = new FlapGuard()
  for (const second of [0, 10, 20, 30]) guard.lost(second * 1000)
  expect(guard.isFlapping(49_000)).toBe(true) // 10 s, doubled
  expect(guard.isFlapping(50_000)).toBe(false)
  expect(guard.isClear(100_000)).toBe(false)
  expect(guard.isClear(110_001)).toBe(true)
  for (const second of [200, 210, 220]) guard.lost(second * 1000)
  expect(guard.isFlapping(229_000)).toBe(true)
  expect(guard.isFlapping(230_000)).toBe(false)
})
