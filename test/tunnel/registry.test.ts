import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { BackendRegistry } from '../../gateway/tunnel/registry.ts'
import { BackendSession } from '../../shared/tunnel/backend-session.ts'
import type { Status } from '../../shared/tunnel/control-message.ts'
import type { TunnelHandler } from '../../shared/tunnel/exchange.ts'
import type { Hello } from '../../shared/tunnel/hello.ts'
import { defaultTiming } from '../../shared/tunnel/limits.ts'
import { silentLog } from '../support/silent-log.ts'
import { MemoryTransport, testHello } from '../support/tunnel-memory.ts'
import { testRequest, until } from '../support/tunnel-pair.ts'

let registry: BackendRegistry
let monotonic: number

type JoinOptions = Partial<Hello> & {
  readonly handler?: TunnelHandler
  readonly status?: () => Status
}

/** Joins a backend whose handlers wait for ever. */
const join = async (backendId: string, options: JoinOptions = {}) => {
  const { handler = () => new Promise<Response>(() => {}), status, ...hello } = options
  const toBackend = new MemoryTransport()
  const toGateway = new MemoryTransport()
  const welcomed = Promise.withResolvers<void>()
  toGateway.peer = registry.connect({ backendId, name: `box-${backendId}` }, toBackend)
  const session = new BackendSession(toGateway, {
    log: silentLog,
    timing: { ...defaultTiming, tickMs: 10, statusMs: 10 },
    hello: { ...testHello, instanceId: `process-${backendId}`, maxStreams: 64, ...hello },
    handler,
    ...(status && { status }),
    onWelcome: () => welcomed.resolve(),
  })
  toBackend.peer = session
  await Promise.race([welcomed.promise, session.closed])
  return { session, toBackend, toGateway }
}

const turn = () => new Promise((resolve) => setTimeout(resolve, 5))

/** Backend ids of `count` picks, each of which is sent a request of `tokens`. */
const send = (count: number, tokens = 0) =>
  Array.from({ length: count }, () => {
    const connection = registry.pick('tiny')
    connection?.open(testRequest(), tokens)
    return connection?.backendId
  })

beforeEach(() => {
  monotonic = 0
  registry = new BackendRegistry({
    log: silentLog,
    now: () => 1_000,
    monotonicNow: () => monotonic,
  })
})

afterEach(() => {
  registry.close()
})

describe('the registry', () => {
  it('knows who is connected and what they serve', async () => {
    await join('a', { models: ['tiny', 'large'] })
    await join('b')
    expect(registry.models()).toEqual(['large', 'tiny'])
    expect([registry.serves('large'), registry.serves('none')]).toEqual([true, false])
    expect(
      registry.backends().map(({ backendId, name, models, connectedAtMs, openStreams }) => ({
        backendId,
        name,
        models,
        connectedAtMs,
        openStreams,
      })),
    ).toEqual([
      {
        backendId: 'a',
        name: 'box-a',
        models: ['tiny', 'large'],
        connectedAtMs: 1_000,
        openStreams: 0,
      },
      { backendId: 'b', name: 'box-b', models: ['tiny'], connectedAtMs: 1_000, openStreams: 0 },
    ])
  })

  it('picks among those that serve the model, or the service, and takes turns where all are idle', async () => {
    await join('a', { models: ['tiny', 'large'], services: ['grafana'] })
    await join('b')
    expect(send(4)).toEqual(['a', 'b', 'a', 'b'])
    expect(registry.pick('large')?.backendId).toBe('a')
    expect(registry.pick('none')).toBeNull()
    expect(registry.pickService('grafana')?.backendId).toBe('a')
    expect(registry.pickService('jupyter')).toBeNull()
  })

  it('spreads a burst by what it sent, and then goes by what backends report', async () => {
    let tokensInFlight = 0
    await join('a')
    const { session } = await join('b', {
      status: () => ({ running: 1, waiting: 0, tokensInFlight }),
    })
    registry.pick('tiny')?.open(testRequest(), 1_000)
    expect(send(3, 400)).toEqual(['b', 'b', 'b'])
    expect(send(1, 400)).toEqual(['a'])
    monotonic = 5_000
    tokensInFlight = 10
    await until(() => registry.backends()[1]?.status?.tokensInFlight === 10, 'its STATUS has come')
    expect(send(3, 400)).toEqual(['b', 'b', 'b'])
    expect(session.openStreams).toBeGreaterThan(0)
  })

  it('picks one with room, and nobody when all are full', async () => {
    await join('small', { maxStreams: 1 })
    await join('big', { maxStreams: 2 })
    expect(send(4).toSorted()).toEqual(['big', 'big', 'small', undefined])
    expect(registry.serves('tiny')).toBe(true)
  })

  it('prefers another backend to one that was tried, and another connection to none', async () => {
    await join('a', { connectionIndex: 0 })
    await join('a', { connectionIndex: 1, generation: 2 })
    await join('b')
    const first = registry.pick('tiny')
    const second = first && registry.pick('tiny', { tried: new Set([first]) })
    const tried = new Set([first, second].filter((connection) => connection !== null))
    expect([first?.backendId, second?.backendId]).toEqual(['a', 'b'])
    const third = registry.pick('tiny', { tried })
    expect(third?.backendId).toBe('a')
    expect(third).not.toBe(first)
    if (third) tried.add(third)
    expect(registry.pick('tiny', { tried })).toBeNull()
  })

  it('keeps a prompt where its beginning is, unless that is too busy, and asks for it only where there is a choice', async () => {
    await join('a')
    let numAsked = 0
    const prefixes = () => {
      numAsked++
      return [3, 2, 1]
    }
    registry.pick('tiny', { prefixes })
    expect(numAsked).toBe(0)
    await join('b')
    const home = registry.pick('tiny', { prefixes })
    home?.open(testRequest(), 2_000)
    expect([1, 2, 3].map(() => registry.pick('tiny', { prefixes }))).toEqual([home, home, home])
    home?.open(testRequest(), 100)
    const other = registry.pick('tiny', { prefixes })
    expect(other?.backendId).not.toBe(home?.backendId)
    // Its beginning is there now, and stays.
    other?.open(testRequest(), 2_000)
    expect(registry.pick('tiny', { prefixes: () => [9, 8, 3] })).toBe(other)
  })

  it('forgets a backend that has gone, at once', async () => {
    const { toGateway } = await join('a')
    const { session } = await join('b')
    toGateway.peer?.transportClosed(1006, 'reset')
    await Promise.resolve()
    expect(send(2)).toEqual(['b', 'b'])
    session.close(1000, 'done')
    await turn()
    expect([registry.pick('tiny'), registry.models()]).toEqual([null, []])
  })

  it('takes nobody any more once it is closed', async () => {
    const { session } = await join('a')
    registry.close()
    registry.close()
    expect(await session.closed).toMatchObject({ code: 1001, by: 'peer' })
    const late = registry.connect({ backendId: 'b', name: 'b' }, new MemoryTransport())
    expect(await late.closed).toMatchObject({ code: 1001, by: 'us' })
    expect(registry.backends()).toEqual([])
  })
})

describe('the connections of a backend', () => {
  it('share its requests, the emptiest first', async () => {
    const sessions = [
      (await join('a', { connectionIndex: 0 })).session,
      (await join('a', { connectionIndex: 1, generation: 2 })).session,
    ]
    expect(registry.backends()).toHaveLength(1)
    expect(send(6)).toEqual(Array.from({ length: 6 }, () => 'a'))
    await turn()
    expect(sessions.map(({ openStreams }) => openStreams)).toEqual([3, 3])
  })

  it('go on when one of them is lost', async () => {
    const first = await join('a', { connectionIndex: 0 })
    const second = await join('a', { connectionIndex: 1, generation: 2 })
    const exchanges = [0, 1].map(() => registry.pick('tiny')?.open(testRequest()))
    await turn()
    first.toGateway.peer?.transportClosed(1006, 'reset')
    await expect(exchanges[0]?.head).rejects.toMatchObject({ code: 'CONNECTION_LOST' })
    expect(second.session.openStreams).toBe(1)
    expect(registry.backends()).toMatchObject([{ openStreams: 1 }])
    expect(send(1)).toEqual(['a'])
  })

  it('are all replaced by those of a new process', async () => {
    const old = [
      (await join('a', { connectionIndex: 0 })).session,
      (await join('a', { connectionIndex: 1, generation: 2 })).session,
    ]
    const { session } = await join('a', { instanceId: 'next', connectionIndex: 1 })
    for (const { closed } of old) expect(await closed).toMatchObject({ code: 4009 })
    expect(registry.backends()).toMatchObject([
      { connections: [{ hello: { instanceId: 'next' } }] },
    ])
    expect(send(1)).toEqual(['a'])
    await turn()
    expect(session.openStreams).toBe(1)
  })

  it('are replaced at once, though the old one never answers', async () => {
    const old = await join('a')
    old.toBackend.isBlocked = true
    await join('a', { generation: 2 })
    expect(registry.backends()).toMatchObject([{ connections: [{ hello: { generation: 2 } }] }])
    expect(old.toBackend.closedWith).toMatchObject({ code: 4009 })
  })

  it('are closed when they are late', async () => {
    await join('a', { generation: 2 })
    const { session } = await join('a', { generation: 1 })
    expect(await session.closed).toMatchObject({ code: 4009 })
    expect(registry.backends()).toMatchObject([{ connections: [{ hello: { generation: 2 } }] }])
  })

  it('finish what runs when they are replaced while they drain', async () => {
    const answer = Promise.withResolvers<Response>()
    const old = await join('a', { handler: () => answer.promise })
    const exchange = registry.pick('tiny')?.open(testRequest())
    await turn()
    registry.goaway({ code: 'DRAINING', deadlineMs: 60_000, message: 'the gateway stops' })
    expect(registry.pick('tiny')).toBeNull()
    const next = await join('a', { generation: 2 })
    expect(send(1)).toEqual(['a'])
    await turn()
    expect([old.session.openStreams, next.session.openStreams]).toEqual([1, 1])
    answer.resolve(new Response('finished'))
    expect(await new Response(exchange?.body ?? null).text()).toBe('finished')
    expect(await old.session.closed).toMatchObject({ code: 4009 })
  })

  it('do not pile up though they drain for ever', async () => {
    const sessions: BackendSession[] = []
    for (let generation = 1; generation <= 12; generation++) {
      sessions.push((await join('a', { generation })).session)
      send(1)
      await turn()
      registry.goaway({ code: 'DRAINING', deadlineMs: 60_000, message: 'again' })
    }
    // One in its place, and eight that leave.
    expect(registry.backends()[0]?.connections).toHaveLength(9)
    expect(await sessions[2]?.closed).toMatchObject({ code: 4009 })
  })
})

describe('a backend that is not well', () => {
  it('is avoided while it is silent, and used when there is no other', async () => {
    const silent = await join('a')
    monotonic = 13_100
    expect(registry.pick('tiny')?.backendId).toBe('a')
    await join('b')
    expect(send(3)).toEqual(['b', 'b', 'b'])
    // It says something again.
    silent.session.sendAuth('x')
    await turn()
    expect(send(1)).toEqual(['a'])
  })

  it('is avoided while nothing leaves for it', async () => {
    const { toBackend } = await join('a')
    await join('b')
    toBackend.bufferedBytes = 2 ** 21
    expect(send(3)).toEqual(['b', 'b', 'b'])
    toBackend.bufferedBytes = 0
    expect(send(1)).toEqual(['a'])
  })

  it('is avoided when it asks for nothing, and gets nothing when it drains', async () => {
    let status: Status = { running: 0, waiting: 0, tokensInFlight: 0, weight: 0 }
    await join('a', { status: () => status })
    await until(() => registry.backends()[0]?.status?.weight === 0, 'its STATUS has come')
    expect(send(1)).toEqual(['a'])
    await join('b')
    expect(send(2)).toEqual(['b', 'b'])
    status = { running: 0, waiting: 0, tokensInFlight: 0, draining: true }
    await until(() => registry.backends()[0]?.isDraining === true, 'its STATUS has come')
    registry.backends()[1]?.drain()
    expect(send(1)).toEqual([undefined])
  })

  it('gets nothing for a while when it comes and goes, and its traffic does not swing with it', async () => {
    const steady = await join('steady')
    const picks: (string | undefined)[] = []
    for (let i = 0; i < 20; i++) {
      steady.session.sendAuth('still there')
      const { toGateway } = await join('flapping', { generation: i + 1 })
      picks.push(...send(2))
      monotonic += 4_000
      toGateway.peer?.transportClosed(1006, 'reset')
      await turn()
    }
    // Three losses, and then no more.
    expect(picks.lastIndexOf('flapping')).toBeLessThan(6)
    monotonic += 300_000
    steady.session.sendAuth('still there')
    await join('flapping', { generation: 99 })
    expect(send(2)).toContain('flapping')
  })

  it('is not blamed for connections that it or we closed on purpose', async () => {
    await join('steady')
    for (let generation = 1; generation <= 6; generation++) {
      const { session } = await join('restarted', { generation })
      session.close(1000, 'the backend stops')
      await turn()
    }
    await join('restarted', { generation: 9 })
    expect(send(2)).toContain('restarted')
  })
})

describe('a backend that an operator drains', () => {
  it('gets no more requests on any connection, until another process of it comes', async () => {
    const answer = Promise.withResolvers<Response>()
    await join('a', { handler: () => answer.promise })
    const exchange = registry.pick('tiny')?.open(testRequest())
    await turn()
    registry.backends()[0]?.drain()
    await join('a', { connectionIndex: 1, generation: 2 })
    expect([registry.pick('tiny'), registry.backends()[0]?.isDraining]).toEqual([null, true])
    const next = await join('a', { instanceId: 'restarted' })
    expect(send(1)).toEqual(['a'])
    await turn()
    expect([next.session.openStreams, registry.backends()[0]?.isDraining]).toEqual([1, false])
    answer.resolve(new Response('finished'))
    expect(await new Response(exchange?.body ?? null).text()).toBe('finished')
  })
})

describe('a drained backend that loses all its connections', () => {
  it('is drained when it is back, until another process of it comes', async () => {
    const first = await join('a')
    registry.backends()[0]?.drain()
    first.toGateway.peer?.transportClosed(1006, 'reset')
    await turn()
    expect(registry.backends()).toEqual([])
    await join('a', { generation: 2 })
    expect([registry.pick('tiny'), registry.backends()[0]?.isDraining]).toEqual([null, true])
    await join('a', { instanceId: 'restarted' })
    expect(send(1)).toEqual(['a'])
  })
})

describe('a connection that slept', () => {
  it('goes on without a handshake, with what it had said of itself', async () => {
    const toBackend = new MemoryTransport()
    const { hello, ...snapshot } = {
      hello: { ...testHello, models: ['tiny'] },
      maxStreams: 8,
      windowBytes: 65_536,
      connectionWindowBytes: 2 ** 22,
      lastStreamId: 41,
      sendCreditBytes: 2 ** 22,
      receiveCreditBytes: 2 ** 22,
      isDraining: false,
      status: { running: 1, waiting: 2, tokensInFlight: 300 },
    }
    const identity = { backendId: 'a', name: 'box-a' }
    registry.resume(identity, toBackend, {
      sessionId: 'session-1',
      connectedAtMs: 7,
      snapshot: { hello, ...snapshot },
    })
    expect(registry.backends()).toMatchObject([
      { backendId: 'a', connectedAtMs: 7, models: ['tiny'], status: snapshot.status },
    ])
    expect(registry.pick('tiny')?.open(testRequest())).toBeDefined()
  })
})
