import { describe, expect, it } from 'vitest'
import { BackendSession } from '../../../shared/tunnel/backend-session.ts'
import { GatewaySession } from '../../../shared/tunnel/gateway-session.ts'
import type { GatewaySessionOptions } from '../../../shared/tunnel/gateway-session-options.ts'
import { limits } from '../../../shared/tunnel/limits.ts'
import type { SessionSnapshot } from '../../../shared/tunnel/session-snapshot.ts'
import { silentLog } from '../../support/silent-log.ts'
import { MemoryTransport, testHello, turns } from '../../support/tunnel-memory.ts'
import { get, post } from './exchanges.ts'

const windows = {
  maxStreams: 8,
  windowBytes: limits.minWindowBytes,
  connectionWindowBytes: 200_000,
}

/** A gateway that forgets all but its snapshot whenever it is idle, as a Durable Object may. */
const sleepyPair = () => {
  const toBackend = new MemoryTransport()
  const toGateway = new MemoryTransport()
  let snapshot: SessionSnapshot | undefined
  const wake = (resume?: SessionSnapshot): GatewaySession => {
    const options: GatewaySessionOptions = {
      log: silentLog,
      sessionId: 's',
      ...windows,
      pings: false,
      watchIdle: false,
      ...(resume && { resume }),
      onHello: () => {},
      onIdle: () => {
        // Through JSON, as it would be kept.
        snapshot = JSON.parse(JSON.stringify(session.snapshot() ?? null)) ?? snapshot
      },
    }
    const session: GatewaySession = new GatewaySession(toBackend, options)
    toGateway.peer = session
    return session
  }
  const first = wake()
  const backend = new BackendSession(toGateway, {
    log: silentLog,
    hello: { ...testHello, connectionWindowBytes: 100_000, windowBytes: limits.minWindowBytes },
    status: () => ({ running: 1, waiting: 2, tokensInFlight: 3 }),
    handler: async (request) => new Response(await request.bytes()),
    onWelcome: () => {},
  })
  toBackend.peer = backend
  return { first, backend, wake, snapshot: () => snapshot }
}

describe('a session that sleeps', () => {
  it('goes on with its connection: ids, windows and status', async () => {
    const { first, backend, wake, snapshot } = sleepyPair()
    await turns()
    expect(snapshot()).toMatchObject({
      maxStreams: 8,
      lastStreamId: -1,
      sendCreditBytes: 100_000,
      receiveCreditBytes: 200_000,
      status: { running: 1 },
    })
    let session = first
    const body = new Uint8Array(50_000).fill(7)
    // More than every window, several times over: what is not given back would be missed.
    for (let i = 0; i < 20; i++) {
      session = wake(snapshot())
      expect(session.status).toEqual({ running: 1, waiting: 2, tokensInFlight: 3 })
      const exchange = session.open(post(body))
      expect((await new Response(exchange.body).bytes()).byteLength).toBe(body.byteLength)
      expect(await exchange.settled).toMatchObject({ outcome: 'completed' })
      // The last grants are under way.
      await turns()
    }
    expect(backend.counters.streamsOpened).toBe(20)
    expect(snapshot()).toMatchObject({ lastStreamId: 39, isDraining: false })
    backend.close(1000, '')
    await session.closed
    expect(session.snapshot()).toBeUndefined()
  })

  it('has no snapshot while a stream is open', async () => {
    const { first, backend } = sleepyPair()
    await turns()
    const exchange = first.open(get)
    expect(first.snapshot()).toBeUndefined()
    await exchange.settled
    expect(first.snapshot()).toBeDefined()
    backend.close(1000, '')
  })

  // Only Node can tell which timers run.
  it.runIf(navigator.userAgent.startsWith('Node'))('lets no timer run while idle', async () => {
    const { backend } = sleepyPair()
    await turns()
    const active = () =>
      process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length
    const before = active()
    const session = new GatewaySession(new MemoryTransport(), {
      log: silentLog,
      sessionId: 's',
      watchIdle: false,
      onHello: () => {},
      resume: {
        hello: testHello,
        ...windows,
        lastStreamId: 1,
        sendCreditBytes: 1,
        receiveCreditBytes: 1,
        isDraining: false,
      },
    })
    expect(active()).toBe(before)
    const exchange = session.open(get)
    expect(active()).toBe(before + 1)
    exchange.cancel('enough')
    session.close(1000, '')
    backend.close(1000, '')
  })
})
