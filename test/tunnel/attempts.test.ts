import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { expect, onTestFinished, test } from 'vitest'
import { WebSocket } from 'ws'
import { tunnelKeyLogin } from '../../backend/tunnel/login.ts'
import { ClientAddresses } from '../../gateway/client-address.ts'
import { AttemptLimit } from '../../gateway/tunnel/attempt-limit.ts'
import { fixedLogin, memoryLog, until, type TestGateway } from '../support/tunnel-pair.ts'
import { enrolledGateway, tunnelKey } from './enrolled.ts'
import { dialFor, gatewayFor, ok } from './for-one-test.ts'

const key = 'the-first-key-of-32-characters-00'

/** Three failures, and one more each minute. */
const limited = () => ({
  addresses: new ClientAddresses(['127.0.0.1']),
  attempts: new AttemptLimit({ burst: 3, refillMs: 60_000 }),
})

/** How the gateway answers an upgrade request from `address`: 101, or with which status. */
const attempt = async (gateway: TestGateway, address: string, headers: object) => {
  const socket = new WebSocket(gateway.url, ['burrow.1'], {
    headers: { 'x-forwarded-for': address, ...headers },
  })
  onTestFinished(() => socket.terminate())
  socket.on('error', () => {})
  const opened = once(socket, 'open').then(() => ({ status: 101, retryAfter: undefined, socket }))
  const refused = once(socket, 'unexpected-response').then(([, response]) => {
    const { statusCode, headers } = response as IncomingMessage
    return { status: statusCode, retryAfter: headers['retry-after'], socket }
  })
  return Promise.race([opened, refused])
}

const wrong = { authorization: 'Bearer wrong' }
const right = { authorization: 'Bearer token-a' }

test('an address that failed too often waits, whatever it brings; others do not', async () => {
  const gateway = await gatewayFor(undefined, limited())
  const statuses: unknown[] = []
  for (let i = 0; i < 4; i++) statuses.push((await attempt(gateway, '198.51.100.1', wrong)).status)
  expect(statuses).toEqual([401, 401, 401, 429])
  expect(await attempt(gateway, '198.51.100.1', right)).toMatchObject({
    status: 429,
    retryAfter: expect.stringMatching(/^(59|60)$/),
  })
  expect((await attempt(gateway, '198.51.100.2', right)).status).toBe(101)
  expect((await attempt(gateway, 'made up, 198.51.100.1', right)).status).toBe(429)
})

test('successes cost nothing', async () => {
  const gateway = await gatewayFor(undefined, limited())
  for (let i = 0; i < 10; i++) {
    expect((await attempt(gateway, '198.51.100.1', right)).status).toBe(101)
  }
})

test('a stranger that leaves without a proof has failed', async () => {
  const { addresses, attempts } = limited()
  const gateway = await enrolledGateway({ tunnelKeys: [key], addresses, attempts })
  const header = { 'burrow-backend': 'box' }
  for (const _ of [1, 2, 3]) {
    const { status, socket } = await attempt(gateway, '198.51.100.1', header)
    expect(status).toBe(101)
    socket.close()
  }
  await until(() => attempts.waitMs('198.51.100.1') > 0, 'all three are counted')
  expect((await attempt(gateway, '198.51.100.1', header)).status).toBe(429)
  expect((await attempt(gateway, '198.51.100.2', header)).status).toBe(101)
})

test('this machine itself does not wait: a proxy may stand there for all the world', async () => {
  const gateway = await gatewayFor(undefined, {
    attempts: new AttemptLimit({ burst: 1, refillMs: 60_000 }),
  })
  for (let i = 0; i < 5; i++) {
    expect((await attempt(gateway, '198.51.100.1', wrong)).status).toBe(401)
  }
})

test('a backend that is made to wait says so, and waits', async () => {
  const attempts = new AttemptLimit({ burst: 1, refillMs: 120_000 })
  const addresses = { of: () => '198.51.100.1' } as unknown as ClientAddresses
  const gateway = await enrolledGateway({ tunnelKeys: [key], attempts, addresses })
  attempts.failed('198.51.100.1')
  for (const login of [fixedLogin('wrong'), tunnelKeyLogin(tunnelKey(key), 'box')]) {
    const log = memoryLog()
    dialFor({ url: gateway.url, login, handler: ok, log })
    await until(() => log.lines.length > 0, 'it has tried')
    expect(log.lines[0]).toMatch(/too many attempts from this address.*retryInMs=1[12]\d{4}/)
  }
})
