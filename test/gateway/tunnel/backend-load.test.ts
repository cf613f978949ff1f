import { expect, test } from 'vitest'
import { BackendLoad } from '../../../gateway/tunnel/backend-load.ts'

const status = (tokensInFlight: number, more = {}) => ({
  running: 1,
  waiting: 0,
  tokensInFlight,
  ...more,
})

test('what was sent counts until a STATUS can know of it', () => {
  const load = new BackendLoad()
  load.sent(300, 1_000)
  load.sent(200, 1_900)
  expect(load.tokens).toBe(500)
  // Written before the second request could be counted: within a round trip and the admission.
  load.reported(status(310), 2_000, 20)
  expect(load.tokens).toBe(310 + 200)
  load.reported(status(480), 3_000, 20)
  expect(load.tokens).toBe(480)
})

test('a request that ended before a STATUS told of it counts no more', () => {
  const load = new BackendLoad()
  const ended = load.sent(300, 0)
  ended()
  ended()
  expect(load.tokens).toBe(0)
  load.sent(0, 0)()
  expect(load.tokens).toBe(0)
})

test('one that reports nothing is as busy as what runs there', () => {
  const load = new BackendLoad()
  const ends = [load.sent(100, 0), load.sent(50, 1e9)]
  expect(load.tokens).toBe(150)
  ends[0]?.()
  expect(load.tokens).toBe(50)
})

test('those in line weigh more than their tokens, and a strong backend bears more', () => {
  const load = new BackendLoad()
  load.reported(status(1000, { waiting: 4 }), 0)
  expect(load.tokens).toBe(1000 + 4 * 256)
  load.reported(status(1000, { weight: 2 }), 0)
  expect(load.tokens).toBe(500)
  load.reported(status(0, { weight: 0 }), 0)
  expect(load.tokens).toBe(Infinity)
})
