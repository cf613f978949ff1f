import { describe, expect, it } from 'vitest'
import { encodeSync, parseSync } from '../../../shared/tunnel/control-message.ts'
import { acceptFrame, type Frame } from '../../../shared/tunnel/frame.ts'
import { parseReset, resetFrame } from '../../../shared/tunnel/message.ts'
import { readyBackend, readyGateway } from '../../support/raw-sessions.ts'
import { endFrame, frame, headFrame, openFrame } from '../../support/tunnel-frames.ts'
import { sessionPair, turns } from '../../support/tunnel-memory.ts'
import { get, quickTiming } from './exchanges.ts'

const sync = (...ids: number[]): Frame => frame('SYNC', 0, encodeSync(ids))

const resets = (frames: readonly Frame[]) =>
  frames
    .filter(({ name }) => name === 'RESET')
    .map(({ streamId, payload }) => [streamId, parseReset(payload).code])

describe('the SYNC of a gateway', () => {
  it('stops the work that it has let go of', async () => {
    const signals: AbortSignal[] = []
    const { peer, session } = await readyBackend({
      handler: (request) => {
        signals.push(request.signal)
        return new Promise(() => {})
      },
    })
    peer.send(openFrame(1), openFrame(3))
    await turns()
    peer.send(sync(3))
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, false])
    session.close(1000, '')
  })

  it('makes the backend say what it does not have, but not what may be under way', async () => {
    const { peer, session } = await readyBackend()
    peer.send(openFrame(5))
    await turns()
    peer.send(sync(1, 5, 7, 9))
    await turns()
    expect(resets(peer.frames)).toEqual([[1, 'INTERNAL']])
    session.close(1000, '')
  })

  it('does nothing to a stream whose END has just left', async () => {
    const { peer, session } = await readyGateway()
    const exchange = session.open(get)
    await turns()
    // The backend's END crossed our SYNC, and so it reset what we had named.
    peer.send(acceptFrame(1), headFrame(1), endFrame(1))
    peer.send(resetFrame(1, { code: 'INTERNAL', message: 'the backend does not have the stream' }))
    expect(await exchange.settled).toMatchObject({ outcome: 'completed' })
    session.close(1000, '')
  })
})

describe('the SYNC of a backend', () => {
  it('makes the gateway reset what it has let go of', async () => {
    const { peer, session } = await readyGateway()
    const gone = session.open(get)
    session.open(get)
    await turns()
    peer.send(resetFrame(1, { code: 'REFUSED', message: '' }))
    await gone.settled
    peer.frames.length = 0
    peer.send(acceptFrame(3), sync(1, 3))
    await turns()
    expect([resets(peer.frames), session.openStreams]).toEqual([[[1, 'CANCEL']], 1])
    session.close(1000, '')
  })

  it('fails a stream that the backend has accepted and lost', async () => {
    const { peer, session } = await readyGateway()
    const exchange = session.open(get)
    await turns()
    peer.send(acceptFrame(1), sync())
    expect(await exchange.settled).toMatchObject({ outcome: 'failed', errorCode: 'INTERNAL' })
    await expect(exchange.head).rejects.toMatchObject({ mayHaveRun: true })
    session.close(1000, '')
  })

  it('leaves a stream alone whose OPEN may be under way, until a later one is answered', async () => {
    const { peer, session } = await readyGateway()
    const exchange = session.open(get)
    const later = session.open(get)
    await turns()
    peer.send(sync())
    peer.send(sync())
    expect(session.openStreams).toBe(2)
    peer.send(acceptFrame(3), sync(3))
    expect(await exchange.settled).toMatchObject({ outcome: 'failed', errorCode: 'INTERNAL' })
    expect(session.openStreams).toBe(1)
    later.cancel('enough')
    session.close(1000, '')
  })

  it('settles a cancelled stream that the backend has lost', async () => {
    const { peer, session } = await readyGateway()
    const exchange = session.open(get)
    await turns()
    peer.send(acceptFrame(1))
    exchange.cancel('enough')
    peer.send(sync())
    expect(await exchange.settled).toMatchObject({ outcome: 'cancelled' })
    session.close(1000, '')
  })

  it('must not name what was never opened', async () => {
    const { peer } = await readyGateway()
    peer.send(sync(1))
    expect(peer.transport.closedWith?.code).toBe(4002)
  })
})

describe('SYNC', () => {
  it('names odd ids, four bytes each', () => {
    expect([...parseSync(encodeSync([1, 7]))]).toEqual([1, 7])
    expect(() => parseSync(encodeSync([2]))).toThrow('SYNC is malformed')
    expect(() => parseSync(new Uint8Array(5))).toThrow('SYNC is malformed')
  })

  it('hits none of the streams that come and go at both ends all the time', async () => {
    const timing = { ...quickTiming, tickMs: 1, syncMs: 1, settleMs: 1_000, cancelMs: 1_000 }
    const { gateway, backend } = await sessionPair({
      timing,
      handler: async (_request, exchange) => {
        exchange.usage(Promise.resolve(null))
        await turns(Math.floor(Math.random() * 4))
        return new Response('ok')
      },
    })
    const deadline = performance.now() + 300
    const one = async (i: number) => {
      while (performance.now() < deadline) {
        const exchange = gateway.open(get)
        await turns(1)
        if (i % 3 === 0) exchange.cancel('enough')
        const { outcome } = await exchange.settled
        if (i % 3 === 0) expect(outcome).not.toBe('failed')
        else expect(outcome).toBe('completed')
        await exchange.body.cancel().catch(() => {})
      }
    }
    await Promise.all(Array.from({ length: 9 }, (_, i) => one(i)))
    expect([gateway.openStreams, backend.openStreams]).toEqual([0, 0])
    gateway.close(1000, '')
  })
})
