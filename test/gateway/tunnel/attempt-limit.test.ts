import { expect, test } from 'vitest'
import { AttemptLimit } from '../../../gateway/tunnel/attempt-limit.ts'

const limitAt = (clock: { ms: number }) =>
  new AttemptLimit({ burst: 3, refillMs: 1_000, maxAddresses: 4, now: () => clock.ms })

test('an address has a few failures, and then one more each so often', () => {
  const clock = { ms: 0 }
  const limit = limitAt(clock)
  for (let i = 0; i < 3; i++) {
    expect(limit.waitMs('a')).toBe(0)
    limit.failed('a')
  }
  expect(limit.waitMs('a')).toBe(1_000)
  expect(limit.waitMs('b')).toBe(0)
  clock.ms = 400
  expect(limit.waitMs('a')).toBe(600)
  clock.ms = 1_000
  expect(limit.waitMs('a')).toBe(0)
  limit.failed('a')
  expect(limit.waitMs('a')).toBe(1_000)
})

test('failures beyond the limit, of attempts that began before it was reached, count no more', () => {
  const clock = { ms: 0 }
  const limit = limitAt(clock)
  for (let i = 0; i < 50; i++) limit.failed('a')
  clock.ms = 1_000
  expect(limit.waitMs('a')).toBe(0)
})

test('an address that has behaved for long enough is forgotten', () => {
  const clock = { ms: 0 }
  const limit = limitAt(clock)
  limit.failed('a')
  expect(limit.size).toBe(1)
  clock.ms = 1_000
  expect([limit.waitMs('a'), limit.size]).toEqual([0, 0])
})

test('the table is bounded: the address that failed longest ago goes first', () => {
  const limit = limitAt({ ms: 0 })
  for (let i = 0; i < 3; i++) limit.failed('patient')
  for (let i = 0; i < 3; i++) limit.failed('a')
  for (const address of ['b', 'c', 'd']) limit.failed(address)
  expect(limit.size).toBe(4)
  expect([limit.waitMs('patient'), limit.waitMs('a')]).toEqual([0, 1_000])
  for (let i = 0; i < 1_000; i++) limit.failed(`flood-${i}`)
  expect(limit.size).toBe(4)
})
