import { expect, test } from 'vitest'
import { RestartPolicy } from '../../../backend/engine/restart-policy.ts'

const limits = { maxRestarts: 4, withinMs: 60_000, firstBackoffMs: 100, maxBackoffMs: 500 }

test('each death waits twice as long as the one before, until there are too many', () => {
  const policy = new RestartPolicy(limits)
  expect([0, 10, 20, 30, 40].map((now) => policy.died(now))).toEqual([100, 200, 400, 500, null])
  expect(policy.givenUp(new Error('out of memory')).message).toBe(
    'the engine has died 5 times within 1 minutes, last because of: out of memory',
  )
})

test('deaths that are long past count no more', () => {
  const policy = new RestartPolicy(limits)
  expect([0, 10, 20, 30].map((now) => policy.died(now)).at(-1)).toBe(500)
  expect(policy.died(60_025)).toBe(200)
  for (let hour = 1; hour < 100; hour++) expect(policy.died(hour * 3_600_000)).toBe(100)
})
