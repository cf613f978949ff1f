/**
 * Both ends among older and newer ones, by SPEC.md's rules of growth: what an older peer does not
 * know it leaves out, what a newer one adds is fields and frames that the other ignores.
 */
import { describe, expect, it } from 'vitest'
import type { Goaway, Status } from '../../../shared/tunnel/control-message.ts'
import { decodeMessage, encodeMessage, type Frame } from '../../../shared/tunnel/frame.ts'
import type { UsageReport } from '../../../shared/tunnel/usage-message.ts'
import { dataFrame, endFrame, frame } from '../../support/tunnel-frames.ts'
import { MemoryTransport, sessionPair, turns } from '../../support/tunnel-memory.ts'
import { readyGateway } from '../../support/raw-sessions.ts'
import { endless, get, post, usage } from './exchanges.ts'

type Age = 'older' | 'this' | 'newer'
const ages: readonly Age[] = ['older', 'this', 'newer']

const decoder = new TextDecoder()
const encoder = new TextEncoder()

/** Frames whose payload is JSON, with the fields that SPEC.md marks with `?`. */
const optionalFields: Readonly<Record<string, readonly string[]>> = {
  HELLO: ['services', 'capabilities'],
  WELCOME: ['textPing'],
  OPEN: ['ticket', 'deadlineMs', 'attempt', 'service', 'upgrade'],
  HEAD: [],
  END: [],
  USAGE: ['ticket'],
  USAGE_ACK: [],
  GOAWAY: [],
  STATUS: ['kvCacheFree', 'weight', 'draining'],
}

type Json = Record<string, unknown>

const older = (name: string, fields: Json): Json =>
  Object.fromEntries(
    Object.entries(fields).filter(([field]) => !optionalFields[name]?.includes(field)),
  )

const newer = (name: string, fields: Json): Json => ({
  ...fields,
  ...(name === 'HELLO' && { capabilities: ['resume', 'compression'] }),
  laterFlag: true,
  laterThing: { of: ['any', 'shape', null] },
})

const rewritten = (sent: Frame, change: typeof older): Frame => {
  const isEmptyEnd = sent.name === 'END' && sent.payload.byteLength === 0
  if (!(sent.name in optionalFields) || isEmptyEnd) return sent
  const fields: Json = JSON.parse(decoder.decode(sent.payload))
  return { ...sent, payload: encoder.encode(JSON.stringify(change(sent.name, fields))) }
}

/** Types of later versions: on the connection, on a stream, and with an id that is none today. */
const laterFrames = Uint8Array.from(
  [
    [0x80, 0, 0, 0, 0, 0, 0, 0],
    [0x9c, 0, 0, 3, 0, 0, 0, 1, 9, 9, 9],
    [0xff, 0, 0, 1, 0xff, 0xff, 0xff, 0xfe, 7],
  ].flat(),
)

const joined = (...parts: readonly Uint8Array[]): Uint8Array => {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.byteLength
  }
  return whole
}

/** Sends as an end of that age does. */
class AgedTransport extends MemoryTransport {
  readonly #age: Age

  constructor(age: Age) {
    super()
    this.#age = age
  }

  override send(message: Uint8Array, sent: () => void): void {
    super.send(this.#aged(message), sent)
  }

  #aged(message: Uint8Array): Uint8Array {
    if (this.#age === 'this') return message
    const frames = decodeMessage(message)
    if (this.#age === 'older') return encodeMessage(frames.map((each) => rewritten(each, older)))
    const each = frames.map((sent) => encodeMessage([rewritten(sent, newer)]))
    return joined(laterFrames, ...each.flatMap((part) => [part, laterFrames]))
  }
}

const status: Status = { running: 1, waiting: 2, tokensInFlight: 3, weight: 2 }
const report: UsageReport = { requestId: 'old', instanceId: 'i', usage, isFinal: true, ticket: 't' }

describe.each(ages)('a gateway (%s)', (gatewayAge) => {
  it.each(ages)('and a backend (%s) do all they both know', async (backendAge) => {
    const heard = {
      statuses: [] as Status[],
      usages: [] as UsageReport[],
      acknowledged: [] as string[],
      goaways: [] as Goaway[],
    }
    const { gateway, backend } = await sessionPair(
      {
        handler: async (request, exchange) => {
          if (request.url.includes('endless')) return endless(request, exchange)
          exchange.reportUsage(usage)
          return new Response(request.body, { status: 201, headers: { 'content-type': 'a/b' } })
        },
        gateway: {
          onStatus: (each) => heard.statuses.push(each),
          onUsage: (each) => heard.usages.push(each),
        },
        backend: {
          status: () => status,
          onUsageAck: (ids) => heard.acknowledged.push(...ids),
          onGoaway: (each) => heard.goaways.push(each),
        },
      },
      new AgedTransport(gatewayAge),
      new AgedTransport(backendAge),
    )
    const text = 'x'.repeat(100_000)
    const exchange = gateway.open({ ...post(text), deadlineMs: 60_000, attempt: 1, ticket: 'tick' })
    expect((await exchange.head).status).toBe(201)
    expect(await new Response(exchange.body).text()).toBe(text)
    expect(await exchange.settled).toMatchObject({ outcome: 'completed', usage, isFinal: true })

    const cancelled = gateway.open({ ...get, path: '/endless' })
    await cancelled.head
    cancelled.cancel('gone')
    expect(await cancelled.settled).toEqual({ outcome: 'cancelled', usage, isFinal: true })

    backend.sendUsage(report)
    gateway.acknowledgeUsage(['old'])
    gateway.goaway({ code: 'DRAINING', deadlineMs: 5_000, message: 'bye' })
    await turns(20)
    const { weight: _w, ...lessStatus } = status
    const { ticket: _t, ...lessReport } = report
    expect(heard.statuses[0]).toEqual(backendAge === 'older' ? lessStatus : status)
    expect(heard.usages).toEqual([backendAge === 'older' ? lessReport : report])
    expect(heard.acknowledged).toEqual(['old'])
    expect(heard.goaways).toMatchObject([{ code: 'DRAINING', deadlineMs: 5_000 }])

    const closed = backend.closed
    await backend.drain(1_000)
    expect(await closed).toMatchObject({ code: 1000, by: 'us' })
    expect(await gateway.closed).toMatchObject({ code: 1000, by: 'peer' })
    expect([gateway.openStreams, backend.openStreams]).toEqual([0, 0])
  })
})

describe('what a newer peer may say', () => {
  it('is refused where it is a type without the high bit: 4002', async () => {
    for (const type of [0x30, 0x7f]) {
      const { peer } = await readyGateway()
      peer.sendBytes(Uint8Array.of(type, 0, 0, 0, 0, 0, 0, 1))
      expect(peer.transport.closedWith?.code).toBe(4002)
    }
  })

  it('may be a reason that has no name here: INTERNAL, and the connection stays', async () => {
    const { peer, session } = await readyGateway()
    const [first, second] = [session.open(get), session.open(get)]
    await turns()
    const error = { code: 'LATER_REASON', message: 'm' }
    const json = (value: unknown) => encoder.encode(JSON.stringify(value))
    peer.send(frame('ACCEPT', 1), frame('END', 1, json({ error })))
    peer.send(frame('ACCEPT', 3), frame('RESET', 3, Uint8Array.of(0, 0, 0, 99)))
    for (const exchange of [first, second]) {
      await expect(exchange.head).rejects.toMatchObject({ code: 'INTERNAL' })
    }
    const goaway = { code: 'LATER_REASON', lastStreamId: 3, deadlineMs: 1, message: 'm' }
    peer.send(frame('GOAWAY', 0, json(goaway)))
    expect(peer.transport.closedWith).toBeUndefined()
    session.close(1000, '')
  })

  it('must still be whole: a field that is known has to be right, whatever came beside it', async () => {
    const { peer, session } = await readyGateway()
    session.open(get).head.catch(() => {})
    await turns()
    const head = { status: 'later', headers: [], later: 1 }
    const payload = encoder.encode(JSON.stringify(head))
    peer.send(frame('ACCEPT', 1), frame('HEAD', 1, payload), dataFrame(1), endFrame(1))
    expect(peer.transport.closedWith?.code).toBe(4002)
  })
})
