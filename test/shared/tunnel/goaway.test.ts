import { describe, expect, it } from 'vitest'
import { encodeGoaway, parseGoaway, type Goaway } from '../../../shared/tunnel/control-message.ts'
import { closeCodes } from '../../../shared/tunnel/error.ts'
import { acceptFrame } from '../../../shared/tunnel/frame.ts'
import { limits } from '../../../shared/tunnel/limits.ts'
import { readyBackend, readyGateway } from '../../support/raw-sessions.ts'
import {
  dataFrame,
  endFrame,
  frame,
  headFrame,
  openFrame,
  testPost,
} from '../../support/tunnel-frames.ts'
import { sessionPair, turns } from '../../support/tunnel-memory.ts'
import { endless, get } from './exchanges.ts'

const goaway = (lastStreamId: number) =>
  frame(
    'GOAWAY',
    0,
    encodeGoaway({ code: 'DRAINING', lastStreamId, deadlineMs: 1_000, message: 'bye' }),
  )

const draining = { code: 'DRAINING', mayHaveRun: false }

describe('GOAWAY from a backend', () => {
  it('fails what is above its id, to be sent elsewhere, and lets the lower ones finish', async () => {
    const told: Goaway[] = []
    const { peer, session } = await readyGateway({ onGoaway: (message) => told.push(message) })
    const exchanges = [session.open(get), session.open(get), session.open(get)] as const
    await turns()
    peer.send(acceptFrame(1), goaway(3))
    await expect(exchanges[2].head).rejects.toMatchObject(draining)
    expect(await exchanges[2].settled).toMatchObject({ errorCode: 'DRAINING', usage: null })
    expect([session.openStreams, session.isDraining, session.hasRoom]).toEqual([2, true, false])
    expect(told).toMatchObject([{ code: 'DRAINING', lastStreamId: 3 }])
    peer.send(headFrame(1), endFrame(1))
    peer.send(acceptFrame(3), headFrame(3), endFrame(3))
    // What was under way for the third.
    peer.send(acceptFrame(5))
    for (const exchange of exchanges.slice(0, 2)) {
      expect(await exchange.settled).toMatchObject({ outcome: 'completed' })
    }
    await expect(session.open(get).head).rejects.toMatchObject(draining)
    session.close(1000, '')
  })

  it('takes back every OPEN that has not left', async () => {
    const { peer, session } = await readyGateway()
    peer.transport.bufferedBytes = limits.transportHighWaterBytes + 1
    const exchange = session.open(get)
    await turns()
    peer.send(goaway(limits.maxStreamId))
    await expect(exchange.head).rejects.toMatchObject(draining)
    peer.transport.bufferedBytes = 0
    peer.send(frame('PING', 0, new Uint8Array(8)))
    await turns()
    expect(peer.frames.map(({ name }) => name)).toEqual(['PONG'])
    session.close(1000, '')
  })

  it('settles what is being cancelled above its id, since no END will come', async () => {
    const { peer, session } = await readyGateway()
    const exchange = session.open(get)
    await turns()
    exchange.cancel('enough')
    peer.send(goaway(0))
    expect(await exchange.settled).toMatchObject({ outcome: 'cancelled' })
    session.close(1000, '')
  })

  it.each([
    ['raise its id', [goaway(1), goaway(3)], 'higher id'],
    ['exclude what was accepted', [acceptFrame(1), goaway(0)], 'which was begun'],
  ])('must not %s', async (_, frames, reason) => {
    const { peer, session } = await readyGateway()
    session.open(get)
    await turns()
    for (const each of frames) peer.send(each)
    expect(peer.transport.closedWith).toEqual({
      code: 4002,
      reason: expect.stringContaining(reason),
    })
  })
})

describe('a backend that drains', () => {
  it('speaks twice, serves what comes between, and drops what comes after', async () => {
    const { peer, session } = await readyBackend({ handler: async () => new Response('ok') })
    peer.send(openFrame(1))
    const drained = session.drain(10_000)
    await turns()
    // What the gateway opened before it had read the first GOAWAY.
    peer.send(openFrame(5, { hasBody: false }))
    const ping = peer.frames.find(({ name }) => name === 'PING')
    expect(ping).toBeDefined()
    peer.send(frame('PONG', 0, ping?.payload))
    await turns()
    peer.send(openFrame(7), dataFrame(7), endFrame(7))
    await drained
    const said = peer.frames.filter(({ name }) => name === 'GOAWAY')
    expect(said.map(({ payload }) => parseGoaway(payload).lastStreamId)).toEqual([
      limits.maxStreamId,
      5,
    ])
    expect(peer.frames.filter(({ streamId }) => streamId === 5).map(({ name }) => name)).toEqual([
      'ACCEPT',
      'HEAD',
      'DATA',
      'END',
    ])
    expect(peer.frames.filter(({ streamId }) => streamId === 7)).toEqual([])
    expect(peer.transport.closedWith?.code).toBe(closeCodes.NORMAL)
  })

  it('closes at once when it was never let in, or has nothing to do', async () => {
    const { gateway, backend } = await sessionPair({ handler: async () => new Response('ok') })
    await backend.drain(10_000)
    expect(await gateway.closed).toMatchObject({ code: closeCodes.NORMAL, by: 'peer' })
  })
})

describe('GOAWAY from a gateway', () => {
  it('makes the backend finish elsewhere first, and opens nothing more here', async () => {
    const told: Goaway[] = []
    const release = Promise.withResolvers<void>()
    const { gateway, backend } = await sessionPair({
      handler: async () => {
        await release.promise
        return new Response('ok')
      },
      backend: { onGoaway: (message) => told.push(message) },
    })
    const running = gateway.open(get)
    await turns()
    gateway.goaway({ code: 'NO_ERROR', deadlineMs: 5_000, message: 'a new version' })
    await expect(gateway.open(get).head).rejects.toMatchObject(draining)
    await turns()
    expect(told).toEqual([
      { code: 'NO_ERROR', lastStreamId: 0, deadlineMs: 5_000, message: 'a new version' },
    ])
    expect(backend.isDraining).toBe(true)
    // Here the backend would have dialled its replacement.
    const drained = backend.drain(5_000)
    release.resolve()
    expect(await new Response(running.body).text()).toBe('ok')
    await drained
    expect(await gateway.closed).toMatchObject({ code: closeCodes.NORMAL, by: 'peer' })
  })

  it('takes back every OPEN that has not left', async () => {
    const { session } = await readyGateway()
    const exchange = session.open({ ...testPost, requestId: 'waits' })
    session.goaway({ code: 'NO_ERROR', deadlineMs: 1_000, message: 'bye' })
    await expect(exchange.head).rejects.toMatchObject(draining)
    session.close(1000, '')
  })

  it('closes with 1001 when its streams are done', async () => {
    const { gateway } = await sessionPair({ handler: async () => new Response('ok') })
    const running = gateway.open(get)
    await turns()
    const drained = gateway.drain({ code: 'NO_ERROR', deadlineMs: 60_000, message: 'bye' })
    expect(await running.settled).toMatchObject({ outcome: 'completed' })
    await drained
    expect(await gateway.closed).toMatchObject({ code: closeCodes.GOING_AWAY, by: 'us' })
  })

  it('closes with 1001 when the time is up', async () => {
    const { gateway } = await sessionPair({
      handler: async (request, exchange) => endless(request, exchange),
    })
    const running = gateway.open(get)
    await running.head
    await gateway.drain({ code: 'NO_ERROR', deadlineMs: 20, message: 'bye' })
    expect(await running.settled).toMatchObject({ errorCode: 'CONNECTION_LOST' })
  })
})

describe('a GOAWAY that crosses an OPEN', () => {
  it('never loses a request, whichever was first', async () => {
    for (let delay = 0; delay < 12; delay++) {
      const { gateway, backend } = await sessionPair({ handler: async () => new Response('ok') })
      const first = gateway.open(get)
      const drained = backend.drain(1_000)
      await turns(delay)
      const second = gateway.open(get)
      const outcomes = [await first.settled, await second.settled]
      for (const { outcome, errorCode } of outcomes) {
        if (outcome === 'failed') expect(['DRAINING', 'CONNECTION_LOST']).toContain(errorCode)
        else expect(outcome).toBe('completed')
      }
      expect(outcomes[0]?.outcome).toBe('completed')
      // What did not run may be sent elsewhere.
      await second.head.catch((error: unknown) =>
        expect(error).toMatchObject({ mayHaveRun: false }),
      )
      await drained
    }
  })
})
