import { expect, test } from 'vitest'
import { ActiveRequests } from '../../gateway/active-requests.ts'

test('a revocation aborts the requests of its key, running and yet to come', () => {
  const active = new ActiveRequests()
  const first = active.start('key_1')
  const second = active.start('key_1')
  const other = active.start('key_2')
  second.finish()
  const reason = new Error('revoked')
  active.revokeKey('key_1', reason)
  const late = active.start('key_1')

  expect([first, second, other, late].map(({ signal }) => signal.aborted)).toEqual([
    true,
    false,
    false,
    true,
  ])
  expect(late.signal.reason).toBe(reason)
})

test('it is idle exactly when every request has finished', async () => {
  const active = new ActiveRequests()
  await active.idle()
  const first = active.start('key_1')
  const second = active.start('key_2')
  let isIdle = false
  const idle = active.idle().then(() => (isIdle = true))
  first.finish()
  first.finish()
  await new Promise((resolve) => setImmediate(resolve))
  expect([isIdle, active.count]).toEqual([false, 1])
  second.finish()
  await idle
  expect(active.count).toBe(0)
})

test('all are placed when each has its backend, was turned down, or is over', async () => {
  const active = new ActiveRequests()
  await active.allPlaced()
  const arrived = active.arrived()
  const first = active.start('key_1')
  const second = active.start('key_2')
  let isPlaced = false
  const allPlaced = active.allPlaced().then(() => (isPlaced = true))
  first.placed()
  first.placed()
  second.finish()
  await new Promise((resolve) => setImmediate(resolve))
  expect([isPlaced, active.count]).toEqual([false, 1])
  arrived()
  await allPlaced
})
