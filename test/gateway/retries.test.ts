import { expect, test } from 'vitest'
import { chat, errorOf } from './forwarding.ts'
import {
  connectFrames,
  failingAfterAccept,
  refusing,
  succeeding,
  type AnswerTo,
} from './frame-backend.ts'
import { testGateway } from './test-gateway.ts'

/** A gateway whose first backend is the busiest: it is asked last. */
const withBackends = async (...answers: readonly AnswerTo[]) => {
  const gateway = await testGateway()
  const backends = []
  for (const [i, answer] of answers.entries()) {
    const { backend, token } = await gateway.admin.enrollBackend(`box${i}`)
    backends.push({ id: backend.id, opens: await connectFrames(gateway.url, token, answer) })
  }
  return { gateway, backends }
}

test.each(['REFUSED', 'OVERLOADED', 'DRAINING'] as const)(
  'what a backend turned down as %s before it took it is sent to another, once, and is in the books once',
  async (code) => {
    const { gateway, backends } = await withBackends(refusing(code), succeeding)
    const response = await gateway.post(chat, { model: 'tiger' })

    expect([response.status, await response.text()]).toEqual([200, '{}'])
    const [refused, answered] = backends.map(({ opens }) => opens)
    const requestId = response.headers.get('x-request-id')
    expect(refused).toMatchObject([{ requestId, attempt: 1 }])
    expect(answered).toMatchObject([{ requestId, attempt: 2 }])
    expect(await gateway.usage(1)).toMatchObject([
      { request_id: requestId, backend_id: backends[1]?.id, outcome: 'completed' },
    ])
    // The ticket names the backend that has it.
    expect(answered?.[0]?.ticket).not.toBe(refused?.[0]?.ticket)
  },
)

test('what is turned down everywhere is tried three times, and is a 503 to try again later', async () => {
  const answers = Array.from({ length: 5 }, () => refusing('OVERLOADED'))
  const { gateway, backends } = await withBackends(...answers)
  const error = await errorOf(await gateway.post(chat, { model: 'tiger' }))

  expect(error).toMatchObject({
    status: 503,
    retryAfter: '1',
    shouldRetry: null,
    code: 'server_is_overloaded',
  })
  const opens = backends.flatMap((backend) => backend.opens)
  expect(opens.map(({ attempt }) => attempt)).toEqual([1, 2, 3])
  expect(new Set(opens.map(({ requestId }) => requestId)).size).toBe(1)
  // It ran nowhere.
  expect(await gateway.usage(0)).toEqual([])
})

test.each([
  ['the connection is lost after OPEN', (() => 'crash') as AnswerTo, 'backend_connection_lost'],
  ['it was taken, and then refused', failingAfterAccept('REFUSED'), 'backend_error'],
  ['it was taken, and its backend drains', failingAfterAccept('DRAINING'), 'backend_stopped'],
  ['it failed', refusing('INTERNAL'), 'backend_error'],
])('it may have run when %s: it is not sent again', async (_, answer, code) => {
  const { gateway, backends } = await withBackends(answer, succeeding)
  const error = await errorOf(await gateway.post(chat, { model: 'tiger' }))

  expect(error).toMatchObject({ status: 502, shouldRetry: 'false', code })
  expect(backends.map(({ opens }) => opens.length)).toEqual([1, 0])
  expect(await gateway.usage(1)).toMatchObject([
    { status: 502, outcome: 'failed', backend_id: backends[0]?.id, tokens_source: 'lost' },
  ])
})

test('a request that no backend could take in one piece is not tried everywhere', async () => {
  const { gateway, backends } = await withBackends(refusing('TOO_LARGE'), succeeding)
  expect((await gateway.post(chat, { model: 'tiger' })).status).toBeGreaterThanOrEqual(400)
  expect(backends.map(({ opens }) => opens.length)).toEqual([1, 0])
})
