import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { defaultTiming, type Timing } from '../../shared/tunnel/limits.ts'
import type { LinkShape } from '../support/relay/link-shape.ts'
import { fastTiming, testRequest, until } from '../support/tunnel-pair.ts'
import { dialFor, gatewayFor, relayTo } from './for-one-test.ts'

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

const noise = (length: number): Uint8Array => {
  const bytes = new Uint8Array(length)
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >> 8) * 7 + (i >> 16)) & 0xff
  return bytes
}

/** An echoing backend behind a network of this shape. */
const echoOver = async (shape: Partial<LinkShape>, timing: Timing = defaultTiming) => {
  const gateway = await gatewayFor(timing)
  const { relay, url } = await relayTo(gateway, { shape })
  const handler = async (request: Request) => new Response(request.body)
  await dialFor({ url, handler, timing }).connected
  const echo = async (body: Uint8Array) => {
    const exchange = gateway.registry.pick('tiny')?.open(testRequest(body))
    return new Response(exchange?.body ?? null).bytes()
  }
  return { relay, echo }
}

it.each<[string, Partial<LinkShape>]>([
  ['a round trip of 200 ms', { delayMs: 100, jitterMs: 20 }],
  ['losses of 1 %', { delayMs: 5, loss: 0.01, retransmitMs: 40, segmentBytes: 1448 }],
  ['small segments and little room', { segmentBytes: 1200, bufferBytes: 2400 }],
])('every byte arrives over %s', async (_, shape) => {
  const { relay, echo } = await echoOver(shape)
  const bodies = [1, 2_000, 70_000, 700_000].map(noise)
  const answers = await Promise.all(bodies.map(echo))
  expect(answers.map(sha256)).toEqual(bodies.map(sha256))
  expect(relay.numConnections).toBe(1)
})

// The times are those of a healthy network, in small: what is queued takes longer than the silence allowed.
it.each([
  ['slow in both directions', ['up', 'down']],
  ['slow upwards', ['up']],
  ['slow downwards', ['down']],
] as const)('a full connection that is %s is not taken for dead', async (_, which) => {
  const { relay, echo } = await echoOver({}, fastTiming)
  relay.reshape({ bytesPerSecond: 2_000_000, segmentBytes: 4_096, bufferBytes: 65_536 }, which)
  const body = noise(1_500_000)
  expect(sha256(await echo(body))).toBe(sha256(body))
  expect(relay.numConnections).toBe(1)
})

it('a stall that is shorter than the silence allowed is waited for', async () => {
  const { relay, echo } = await echoOver({}, fastTiming)
  const body = noise(500_000)
  const answer = echo(body)
  relay.stall(fastTiming.busySilenceMs - 100)
  expect(sha256(await answer)).toBe(sha256(body))
  expect(relay.numConnections).toBe(1)
})

it('a NAT that forgets idle connections is kept awake', async () => {
  const { relay, echo } = await echoOver({ idleTimeoutMs: 2 * fastTiming.pingMs }, fastTiming)
  await sleep(6 * fastTiming.pingMs)
  expect(await echo(noise(10))).toEqual(noise(10))
  expect(relay.numConnections).toBe(1)
})

it('a NAT that forgets sooner than that is found out, and dialled around', async () => {
  const { relay, echo } = await echoOver({ idleTimeoutMs: fastTiming.pingMs / 2 }, fastTiming)
  await until(() => relay.numConnections > 1, 'it is dialled again')
  await expect.poll(() => echo(noise(10)).catch(String)).toEqual(noise(10))
})
