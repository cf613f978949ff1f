import { describe, expect, it } from 'vitest'
import type { Exchange, OpenRequest, TunnelHandler } from '../../../shared/tunnel/exchange.ts'
import { acceptFrame, readWindow, type Frame } from '../../../shared/tunnel/frame.ts'
import { limits } from '../../../shared/tunnel/limits.ts'
import { resetFrame } from '../../../shared/tunnel/message.ts'
import { Account, keepAccounts } from '../../support/credit-ledger.ts'
import { seededRandom } from '../../support/seeded-random.ts'
import { readyBackend, readyGateway } from '../../support/raw-sessions.ts'
import { dataFrame, headFrame, openFrame } from '../../support/tunnel-frames.ts'
import { MemoryTransport, sessionPair, testHello, turns } from '../../support/tunnel-memory.ts'
import { get, quickTiming } from './exchanges.ts'

const KiB = 1024

const tinyTransport = (): MemoryTransport => {
  const transport = new MemoryTransport()
  transport.capacityBytes = 2 * KiB
  return transport
}

const source = (length: number, chunkBytes: number): ReadableStream<Uint8Array> => {
  let left = length
  return new ReadableStream(
    {
      pull(controller) {
        if (left > 0) controller.enqueue(new Uint8Array(Math.min(left, chunkBytes)))
        left -= chunkBytes
        if (left <= 0) controller.close()
      },
    },
    { highWaterMark: 0 },
  )
}

const post = (body: ReadableStream<Uint8Array>): OpenRequest => ({ ...get, method: 'POST', body })

const readAll = async (exchange: Exchange): Promise<number> => {
  let numBytes = 0
  for await (const chunk of exchange.body) numBytes += chunk.byteLength
  return numBytes
}

const echo: TunnelHandler = async (request) => new Response(request.body)

describe('two ends that both write all they can', () => {
  it('do not wait for each other, however small what is between them', async () => {
    const { gateway, backend } = await sessionPair(
      {
        handler: echo,
        hello: { windowBytes: 16 * KiB, connectionWindowBytes: 16 * KiB },
        windowBytes: 16 * KiB,
        connectionWindowBytes: 16 * KiB,
      },
      tinyTransport(),
      tinyTransport(),
    )
    const exchanges = Array.from({ length: 8 }, () => gateway.open(post(source(200 * KiB, 5_000))))
    expect(await Promise.all(exchanges.map(readAll))).toEqual(exchanges.map(() => 200 * KiB))
    expect([gateway.openStreams, backend.openStreams]).toEqual([0, 0])
    expect(backend.counters.connectionWindowStalls).toBeGreaterThan(0)
    gateway.close(1000, '')
  })
})

describe('readers that stand still', () => {
  const large: TunnelHandler = async () => new Response(source(500 * KiB, 9_000))
  const windows = { maxStreams: 8, windowBytes: 16 * KiB, connectionWindowBytes: 8 * 16 * KiB }

  it('do not stall one that reads, as long as the connection has a window for each', async () => {
    const { gateway } = await sessionPair({ handler: large, ...windows })
    const still = Array.from({ length: 7 }, () => gateway.open(get))
    await Promise.all(still.map(({ head }) => head))
    await turns(20)
    expect(await readAll(gateway.open(get))).toBe(500 * KiB)
    for (const exchange of still) exchange.cancel('enough')
    await Promise.all(still.map(({ settled }) => settled))
    gateway.close(1000, '')
  })

  it('take a place though their stream is over, until they have read or given up', async () => {
    const small: TunnelHandler = async () => new Response(source(10 * KiB, 9_000))
    const { gateway } = await sessionPair({ handler: small, ...windows })
    const still = Array.from({ length: 8 }, () => gateway.open(get))
    await Promise.all(still.map(({ settled }) => settled))
    expect([gateway.openStreams, gateway.hasRoom]).toEqual([0, false])
    await expect(gateway.open(get).head).rejects.toMatchObject({ code: 'OVERLOADED' })
    await still[0]?.body.cancel()
    expect(await readAll(gateway.open(get))).toBe(10 * KiB)
    for (const exchange of still) exchange.cancel('enough')
    expect(gateway.hasRoom).toBe(true)
    gateway.close(1000, '')
  })
})

describe('DATA that comes after its stream is over', () => {
  const late = (streamId: number) => [1, 2, 3].map(() => dataFrame(streamId, limits.dataBytes))
  const granted = (frames: readonly Frame[]) =>
    frames
      .filter(({ name, streamId }) => name === 'WINDOW' && streamId === 0)
      .reduce((sum, { payload }) => sum + readWindow(payload), 0)

  it('gives its credit back at the gateway', async () => {
    const { peer, session } = await readyGateway({
      windowBytes: 16 * KiB,
      connectionWindowBytes: 64 * KiB,
    })
    session.open(get)
    await turns()
    peer.send(resetFrame(1, { code: 'REFUSED', message: '' }), ...late(1))
    await turns()
    expect(granted(peer.frames)).toBe(48 * KiB)
    expect(session.snapshot()?.receiveCreditBytes).toBe(64 * KiB)
    session.close(1000, '')
  })

  it('gives its credit back at the backend, that of a refused stream too', async () => {
    const hello = { ...testHello, windowBytes: 16 * KiB, connectionWindowBytes: 64 * KiB }
    const { peer, session } = await readyBackend({ hello })
    peer.send(openFrame(1), openFrame(3), openFrame(5))
    peer.send(...late(5))
    await turns()
    expect(granted(peer.frames)).toBe(48 * KiB)
    session.close(1000, '')
  })

  it('still counts against the connection, which it must not overrun', async () => {
    const { peer, session } = await readyGateway({ connectionWindowBytes: 16 * KiB })
    const exchange = session.open(get)
    await turns()
    peer.send(acceptFrame(1), headFrame(1), dataFrame(1, 16 * KiB))
    peer.send(dataFrame(1))
    expect(peer.transport.closedWith?.code).toBe(4003)
    await exchange.settled
  })
})

/** What a random exchange does, and how it goes wrong. */
const randomHandler =
  (random: () => number): TunnelHandler =>
  async (request, exchange) => {
    exchange.reportUsage({ promptTokens: 1, completionTokens: 1 })
    const mood = random()
    if (mood < 0.1) throw new Error('as it happens')
    if (mood < 0.2) await request.body?.cancel()
    if (mood < 0.3) return new Response('without reading')
    if (mood < 0.6) return new Response(request.body)
    const length = (await new Response(request.body).bytes()).byteLength
    await turns(Math.floor(random() * 5))
    return new Response(source(length, 1 + Math.floor(random() * 20_000)))
  }

const randomClient = async (open: (request: OpenRequest) => Exchange, random: () => number) => {
  for (let i = 0; i < 6; i++) {
    const length = Math.floor(random() ** 3 * 300 * KiB)
    const chunkBytes = 1 + Math.floor(random() * 20_000)
    const exchange = open(post(source(length, chunkBytes)))
    const mood = random()
    await turns(Math.floor(random() * 10))
    if (mood < 0.1) exchange.cancel('enough')
    else if (mood < 0.2) await exchange.body.cancel().catch(() => {})
    else if (mood < 0.3) {
      const reader = exchange.body.getReader()
      await reader.read().catch(() => {})
      await reader.cancel().catch(() => {})
    } else if (mood < 0.4) {
      // Nobody reads, and then nobody wants it.
      await turns(30)
      exchange.cancel('forgotten')
    } else await readAll(exchange).catch(() => {})
    await exchange.settled
    exchange.cancel('done')
  }
}

describe('credit', () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8])('is neither lost nor overdrawn (seed %i)', async (seed) => {
    const random = seededRandom(seed)
    const streamBytes = 16 * KiB
    const connectionBytes = 40 * KiB
    const up = new Account(connectionBytes, streamBytes)
    const down = new Account(connectionBytes, streamBytes)
    const toBackend = new MemoryTransport()
    const toGateway = new MemoryTransport()
    keepAccounts(toBackend, up, down)
    keepAccounts(toGateway, down, up)
    const { gateway, backend } = await sessionPair(
      {
        timing: { ...quickTiming, settleMs: 2_000, cancelMs: 2_000 },
        handler: randomHandler(random),
        maxStreams: 64,
        windowBytes: streamBytes,
        connectionWindowBytes: connectionBytes,
        hello: { windowBytes: streamBytes, connectionWindowBytes: connectionBytes },
      },
      toBackend,
      toGateway,
    )
    const clients = Array.from({ length: 5 }, () =>
      randomClient((request) => gateway.open(request), random),
    )
    await Promise.all(clients)
    await turns(20)
    expect([gateway.openStreams, backend.openStreams]).toEqual([0, 0])
    // What has not come back waits at the receiver for the next half window.
    for (const account of [up, down]) {
      expect(account.lowest).toBeGreaterThanOrEqual(0)
      expect(account.missing).toBeLessThan(streamBytes / 2)
    }
    expect(gateway.snapshot()).toMatchObject({ sendCreditBytes: up.connection })
    gateway.close(1000, '')
    await backend.settled
  })
})
