import { describe, expect, it } from 'vitest'
import type { Status } from '../../../shared/tunnel/control-message.ts'
import { parseStatus } from '../../../shared/tunnel/control-message.ts'
import type { Counted } from '../../../shared/tunnel/exchange.ts'
import { parseUsageReport, type UsageReport } from '../../../shared/tunnel/usage-message.ts'
import { readyBackend, readyGateway } from '../../support/raw-sessions.ts'
import {
  endFrame,
  frame,
  headFrame,
  openFrame,
  testUsage as usage,
} from '../../support/tunnel-frames.ts'
import { sessionPair, turns } from '../../support/tunnel-memory.ts'
import { acceptFrame } from '../../../shared/tunnel/frame.ts'
import { encodeUsage } from '../../../shared/tunnel/usage-message.ts'
import { endless, get, quickTiming } from './exchanges.ts'

const tickingTiming = { ...quickTiming, tickMs: 5, usageMs: 5, statusMs: 5, settleMs: 500 }

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await sleep(2)
}

describe('AUTH', () => {
  it('brings a fresh token to the owner, and touches no stream', async () => {
    const tokens: string[] = []
    const { gateway, backend } = await sessionPair({
      handler: async (request, exchange) => endless(request, exchange),
      gateway: { onAuth: (token) => tokens.push(token) },
    })
    const exchange = gateway.open(get)
    await exchange.head
    backend.sendAuth('fresh')
    await turns()
    expect([tokens, gateway.openStreams]).toEqual([['fresh'], 1])
    expect(() => backend.sendAuth('x'.repeat(5_000))).toThrow('AUTH.token is malformed')
    exchange.cancel('enough')
  })
})

describe('STATUS', () => {
  it('follows WELCOME, and then goes out while it changes, not too often', async () => {
    let running = 0
    const seen: Status[] = []
    const { gateway } = await sessionPair({
      handler: async () => new Response('ok'),
      timing: tickingTiming,
      backend: { status: () => ({ running, waiting: 0, tokensInFlight: 7 }) },
      gateway: { onStatus: (status) => seen.push(status) },
    })
    await until(() => seen.length === 1)
    await sleep(30)
    expect(seen).toEqual([{ running: 0, waiting: 0, tokensInFlight: 7 }])
    running = 5
    await until(() => seen.length === 2)
    expect(gateway.status).toEqual({ running: 5, waiting: 0, tokensInFlight: 7 })
    gateway.close(1000, '')
  })

  it('follows each END that changes it', async () => {
    let running = 1
    const { peer, session } = await readyBackend({
      status: () => ({ running, waiting: 0, tokensInFlight: 0 }),
      handler: async () => {
        running--
        return new Response('ok')
      },
    })
    peer.send(openFrame(1, { hasBody: false }))
    await until(() => peer.frames.length >= 5)
    const names = peer.frames.map(({ name }) => name)
    expect(names).toEqual(['ACCEPT', 'HEAD', 'DATA', 'END', 'STATUS'])
    expect(parseStatus(peer.frames.at(-1)?.payload ?? new Uint8Array())).toMatchObject({
      running: 0,
    })
    session.close(1000, '')
  })
})

describe('USAGE', () => {
  it('tells the count of a running stream while it changes', async () => {
    let numTokens = 0
    const { gateway } = await sessionPair({
      timing: tickingTiming,
      handler: async (_request, exchange) =>
        new Response(
          new ReadableStream({
            async pull(controller) {
              await sleep(3)
              exchange.reportUsage({ promptTokens: 9, completionTokens: ++numTokens })
              controller.enqueue(new Uint8Array(1))
            },
          }),
        ),
    })
    const exchange = gateway.open(get)
    expect(exchange.lastReportedUsage).toBeNull()
    void exchange.body.pipeTo(new WritableStream()).catch(() => {})
    await until(() => (exchange.lastReportedUsage?.completionTokens ?? 0) > 3)
    gateway.transportClosed(1006, 'the plug was pulled')
    const settlement = await exchange.settled
    expect(settlement).toEqual({
      outcome: 'failed',
      errorCode: 'CONNECTION_LOST',
      isFinal: false,
      usage: exchange.lastReportedUsage,
    })
  })

  it('is not sent again while the count stays', async () => {
    const { peer, session } = await readyBackend({
      timing: tickingTiming,
      handler: (_request, exchange) => {
        exchange.reportUsage(usage)
        return new Promise(() => {})
      },
    })
    peer.send(openFrame(1, { requestId: 'a' }))
    await until(() => peer.frames.some(({ name }) => name === 'USAGE'))
    await sleep(30)
    const reports = peer.frames.filter(({ name }) => name === 'USAGE')
    expect(reports.map(({ payload }) => parseUsageReport(payload))).toEqual([
      { requestId: 'a', instanceId: 'instance-1', usage, isFinal: false },
    ])
    session.close(1000, '')
  })

  it('belongs to the stream that has its request now', async () => {
    const { peer, session } = await readyGateway()
    const report = (completionTokens: number) =>
      frame(
        'USAGE',
        0,
        encodeUsage({
          requestId: get.requestId,
          instanceId: 'i',
          usage: { promptTokens: 1, completionTokens },
          isFinal: false,
        }),
      )
    const first = session.open(get)
    await turns()
    peer.send(report(1))
    // The same request once more: the first one's end must not take the second one's count away.
    const second = session.open(get)
    await turns()
    peer.send(acceptFrame(1), headFrame(1), endFrame(1, { usage }))
    peer.send(report(2))
    expect(await first.settled).toEqual({ outcome: 'completed', usage, isFinal: true })
    expect(second.lastReportedUsage).toEqual({ promptTokens: 1, completionTokens: 2 })
    session.close(1000, '')
  })

  it('brings final counts from the journal, and their acknowledgements in groups of 64', async () => {
    const reports: UsageReport[] = []
    const acknowledged: (readonly string[])[] = []
    const { gateway, backend } = await sessionPair({
      handler: async () => new Response(),
      gateway: { onUsage: (report) => reports.push(report) },
      backend: { onUsageAck: (ids) => acknowledged.push(ids) },
    })
    const report = { requestId: 'r', instanceId: 'i', usage, isFinal: true, ticket: 'a.b-c_d~' }
    expect(backend.sendUsage(report)).toBe(true)
    expect(() => backend.sendUsage({ ...report, ticket: 'a b' })).toThrow('USAGE.ticket')
    await turns()
    expect(reports).toEqual([report])
    const ids = Array.from({ length: 130 }, (_, i) => `request-${i}`)
    gateway.acknowledgeUsage(ids)
    await turns()
    expect(acknowledged.map((group) => group.length)).toEqual([64, 64, 2])
    expect(acknowledged.flat()).toEqual(ids)
    backend.close(1000, '')
    expect(backend.sendUsage(report)).toBe(false)
  })
})

describe('the journal', () => {
  it('has every count before END leaves', async () => {
    const counted: Counted[] = []
    const written = Promise.withResolvers<void>()
    const { peer, session } = await readyBackend({
      handler: async (_request, exchange) => {
        exchange.reportUsage(usage)
        return new Response('ok')
      },
      beforeEnd: (count) => {
        counted.push(count)
        return written.promise
      },
    })
    peer.send(openFrame(1, { requestId: 'a', ticket: 't', service: 'notebook' }))
    await until(() => counted.length > 0)
    await turns()
    expect(counted).toEqual([{ requestId: 'a', ticket: 't', service: 'notebook', usage }])
    expect(peer.frames.map(({ name }) => name)).not.toContain('END')
    written.resolve()
    await until(() => peer.frames.at(-1)?.name === 'END')
    session.close(1000, '')
  })

  it('has the count of a request whose connection was lost, once its work has stopped', async () => {
    const counted: Counted[] = []
    const { gateway, backend } = await sessionPair({
      handler: async (request, exchange) => endless(request, exchange),
      backend: { beforeEnd: (count) => void counted.push(count) },
    })
    await gateway.open(get).head
    backend.transportClosed(1006, 'cut')
    expect(counted).toEqual([])
    await backend.settled
    expect(counted).toEqual([{ requestId: 'r', usage }])
    gateway.transportClosed(1006, 'cut')
  })

  it.each([
    ['fails', () => Promise.reject(new Error('disk full'))],
    ['hangs', () => new Promise<void>(() => {})],
  ])('that %s does not keep END back for ever', async (_, beforeEnd) => {
    const { gateway } = await sessionPair({
      timing: quickTiming,
      handler: async () => new Response('ok'),
      backend: { beforeEnd },
    })
    expect(await gateway.open(get).settled).toMatchObject({ outcome: 'completed' })
  })
})

describe('the round trip', () => {
  it('is known from OPEN and ACCEPT at the gateway, and from PING and PONG at both ends', async () => {
    const timing = { ...quickTiming, tickMs: 5, pingMs: 10, busyPingMs: 10 }
    const { gateway, backend } = await sessionPair({
      timing,
      handler: async (request, exchange) => endless(request, exchange),
    })
    expect([gateway.roundTripMs, backend.roundTripMs]).toEqual([undefined, undefined])
    const exchange = gateway.open(get)
    await exchange.head
    // workerd stops the clock while it computes.
    expect(gateway.roundTripMs).toBeGreaterThanOrEqual(0)
    await until(() => backend.roundTripMs !== undefined)
    exchange.cancel('enough')
    await exchange.settled
    gateway.close(1000, '')
  })
})

describe('counters', () => {
  it('count streams, resets by reason, stalls, messages, frames and bytes', async () => {
    const { gateway, backend } = await sessionPair({
      windowBytes: 16_384,
      handler: async (request, exchange) =>
        request.url.endsWith('a=b') ? endless(request, exchange) : new Response('x'.repeat(40_000)),
    })
    const exchange = gateway.open(get)
    await exchange.head
    exchange.cancel('enough')
    await exchange.settled
    const large = gateway.open({ ...get, path: '/large' })
    await until(() => backend.counters.streamWindowStalls > 0)
    await new Response(large.body).bytes()
    await until(() => gateway.counters.bytesReceived === backend.counters.bytesSent)
    await until(() => backend.counters.bytesReceived === gateway.counters.bytesSent)
    const [there, here] = [gateway.counters, backend.counters]
    expect(there).toMatchObject({ streamsOpened: 2, resetsSent: { CANCEL: 1 }, resetsReceived: {} })
    expect(here).toMatchObject({ streamsOpened: 2, resetsReceived: { CANCEL: 1 } })
    for (const what of ['messages', 'frames', 'bytes'] as const) {
      expect(there[`${what}Received`]).toBe(here[`${what}Sent`])
      expect(there[`${what}Sent`]).toBe(here[`${what}Received`])
    }
    expect(here.bytesSent).toBeGreaterThan(40_000)
  })
})
