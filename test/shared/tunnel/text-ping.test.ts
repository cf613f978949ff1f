import { describe, expect, it } from 'vitest'
import { BackendSession } from '../../../shared/tunnel/backend-session.ts'
import { closeCodes } from '../../../shared/tunnel/error.ts'
import { encodeWelcome } from '../../../shared/tunnel/hello.ts'
import { defaultTiming, limits } from '../../../shared/tunnel/limits.ts'
import { encodeOpen } from '../../../shared/tunnel/message.ts'
import { silentLog } from '../../support/silent-log.ts'
import { RawPeer, testHello } from '../../support/tunnel-memory.ts'
import { get } from './exchanges.ts'

const timing = { ...defaultTiming, pingMs: 5, busyPingMs: 5, idleSilenceMs: 60, tickMs: 2 }

/** A backend welcomed by a gateway that sleeps, and what it says. */
const backendOfSleepingGateway = () => {
  const peer = new RawPeer()
  const texts = { count: 0, answer: true }
  const transport = Object.assign(peer.transport, {
    textPing() {
      texts.count++
      if (texts.answer) session.textPong()
    },
  })
  const session: BackendSession = new BackendSession(transport, {
    log: silentLog,
    timing,
    hello: testHello,
    handler: () => new Promise(() => {}),
    onWelcome: () => {},
  })
  peer.connect(session)
  const welcome = {
    sessionId: 's',
    maxStreams: 2,
    windowBytes: limits.responseWindowBytes,
    connectionWindowBytes: limits.responseConnectionWindowBytes,
    textPing: true,
  }
  peer.send({ name: 'WELCOME', streamId: 0, payload: encodeWelcome(welcome) })
  return { peer, session, texts }
}

const pings = ({ frames }: RawPeer) => frames.filter(({ name }) => name === 'PING').length

const until = async (condition: () => boolean) => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2))
}

describe('the backend of a gateway that sleeps', () => {
  it('pings by text, and its answers are life', async () => {
    const { peer, session, texts } = backendOfSleepingGateway()
    let isClosed = false
    void session.closed.then(() => (isClosed = true))
    // More than `idleSilenceMs` in all.
    await until(() => texts.count >= 20)
    expect([isClosed, pings(peer)]).toEqual([false, 0])
    session.close(closeCodes.NORMAL, 'done')
  })

  it('pings the gateway itself while a stream is open', async () => {
    const { peer, session, texts } = backendOfSleepingGateway()
    const payload = encodeOpen({ ...get, hasBody: false })
    peer.send({ name: 'OPEN', streamId: 1, payload })
    const before = texts.count
    await until(() => pings(peer) >= 3)
    expect(texts.count).toBe(before)
    session.close(closeCodes.NORMAL, 'done')
  })

  it('finds it dead when the answers stay away', async () => {
    const { session, texts } = backendOfSleepingGateway()
    texts.answer = false
    expect(await session.closed).toMatchObject({ code: closeCodes.TIMEOUT, by: 'us' })
  })
})
