import { describe, expect, it } from 'vitest'
import { silentLog } from '../../support/silent-log.ts'
import { closeCodes } from '../../../shared/tunnel/error.ts'
import { Heartbeat, type HeartbeatOptions } from '../../../shared/tunnel/heartbeat.ts'
import { defaultTiming, limits } from '../../../shared/tunnel/limits.ts'
import { BackendSession } from '../../../shared/tunnel/backend-session.ts'
import { GatewaySession } from '../../../shared/tunnel/gateway-session.ts'
import { RawPeer, sessionPair, testHello } from '../../support/tunnel-memory.ts'

const timing = {
  ...defaultTiming,
  handshakeMs: 60,
  pingMs: 20,
  busyPingMs: 10,
  idleSilenceMs: 120,
  busySilenceMs: 60,
  stallMs: 1_000,
  tickMs: 5,
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

describe('a session', () => {
  it('lives on PING and PONG alone', async () => {
    const { gateway, toGateway } = await sessionPair({
      timing,
      handler: async () => new Response(),
    })
    await sleep(200)
    expect(toGateway.numMessages).toBeGreaterThan(4)
    expect(await gateway.open({ ...anyRequest }).settled).toMatchObject({ outcome: 'completed' })
  })

  it('is dead on both sides when nothing comes any more, sooner while streams are open', async () => {
    const died = async (isBusy: boolean) => {
      const pair = await sessionPair({ timing, handler: () => new Promise(() => {}) })
      const { gateway, backend, toBackend, toGateway } = pair
      if (isBusy) gateway.open(anyRequest)
      await sleep(10)
      toBackend.isBlocked = true
      toGateway.isBlocked = true
      const start = performance.now()
      const closed = await Promise.all([gateway.closed, backend.closed])
      expect(closed.map(({ code, by }) => [code, by])).toEqual([
        [closeCodes.TIMEOUT, 'us'],
        [closeCodes.TIMEOUT, 'us'],
      ])
      return performance.now() - start
    }
    const [idleMs, busyMs] = await Promise.all([died(false), died(true)])
    expect(idleMs).toBeGreaterThan(90)
    expect(busyMs).toBeGreaterThan(40)
    expect(busyMs).toBeLessThan(idleMs)
  })

  it('is dead when its transport passes nothing on, though the peer still talks', async () => {
    const pair = await sessionPair({
      timing: { ...timing, stallMs: 80 },
      handler: async () => new Response(),
    })
    pair.toBackend.isBlocked = true
    expect(await pair.gateway.closed).toMatchObject({ code: closeCodes.STALLED, by: 'us' })
  })

  it('waits for HELLO, or WELCOME, for a limited time', async () => {
    const peers = [new RawPeer(), new RawPeer()] as const
    const sessions = [
      new GatewaySession(peers[0].transport, {
        log: silentLog,
        timing,
        sessionId: 's',
        onHello: () => {},
      }),
      new BackendSession(peers[1].transport, {
        log: silentLog,
        timing: { ...timing, idleSilenceMs: 1_000 },
        hello: testHello,
        handler: async () => new Response(),
        onWelcome: () => {},
      }),
    ]
    for (const session of sessions) {
      expect(await session.closed).toEqual({
        code: closeCodes.TIMEOUT,
        reason: 'the handshake took too long',
        by: 'us',
      })
    }
  })
})

const anyRequest = {
  requestId: 'r',
  method: 'GET',
  path: '/',
  headers: new Headers(),
  body: null,
}

describe('the heartbeat', () => {
  it('does not blame the peer for its own sleep', async () => {
    let now = 0
    const deaths: string[] = []
    const options: HeartbeatOptions = {
      timing: { ...defaultTiming, tickMs: 1 },
      now: () => now,
      random: () => 0,
      hasStreams: () => true,
      bufferedBytes: () => limits.messageBytes,
      pings: 'never',
      ping: () => {},
      watchIdle: true,
      tick: () => {},
      dead: (cause) => deaths.push(cause),
    }
    const heartbeat = new Heartbeat(options)
    await sleep(5)
    now += 3_600_000
    await sleep(10)
    heartbeat.close()
    expect(deaths).toEqual([])
  })
})
