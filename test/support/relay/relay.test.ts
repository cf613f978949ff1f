import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import { startRelay, type RelayOptions } from '../tunnel-relay.ts'
import { until } from '../tunnel-pair.ts'

/** A socket and what has come out of it. */
const watched = (socket: Socket) => {
  const chunks: Buffer[] = []
  const seen = { error: '', hasEnded: false, isClosed: false }
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  socket.on('end', () => (seen.hasEnded = true))
  socket.on('close', () => (seen.isClosed = true))
  socket.on('error', (error) => (seen.error = 'code' in error ? String(error.code) : 'unknown'))
  return { socket, seen, text: () => Buffer.concat(chunks).toString() }
}

/** A server behind a relay. */
const relayed = async (options: RelayOptions = {}) => {
  const server = createServer({ allowHalfOpen: true })
  const accepted: Socket[] = []
  server.on('connection', (socket) => accepted.push(socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const relay = await startRelay((server.address() as AddressInfo).port, options)
  onTestFinished(async () => {
    for (const socket of accepted) socket.destroy()
    await relay.close()
    server.close()
  })
  const dial = async () => {
    const socket = connect({ port: relay.port, host: '127.0.0.1', allowHalfOpen: true })
    onTestFinished(() => void socket.destroy())
    await once(socket, 'connect')
    return watched(socket)
  }
  /** A connection through the relay, both ends. */
  const pair = async () => {
    const numBefore = accepted.length
    const dialler = await dial()
    await until(() => accepted.length > numBefore, 'the relay has connected')
    const target = accepted.at(-1)
    if (!target) throw new Error('no connection')
    return { dialler, target: watched(target) }
  }
  return { relay, dial, pair }
}

describe('a relay on a good network', () => {
  it('passes bytes both ways, and a FIN after them', async () => {
    const { relay, pair } = await relayed()
    const { dialler, target } = await pair()
    dialler.socket.end('question')
    await until(() => target.seen.hasEnded, 'the FIN came')
    expect(target.text()).toBe('question')
    target.socket.end('answer')
    await until(() => dialler.seen.isClosed && target.seen.isClosed, 'both are closed')
    expect(dialler.text()).toBe('answer')
    expect(relay.passed).toEqual({ up: 8, down: 6 })
    await until(() => relay.numOpen === 0, 'nothing is left')
  })

  it('passes a RST as one', async () => {
    const { pair } = await relayed()
    const { dialler, target } = await pair()
    dialler.socket.resetAndDestroy()
    await until(() => target.seen.isClosed, 'it is closed')
    expect(target.seen.error).toBe('ECONNRESET')
  })

  it('holds up a writer whose reader does not read', async () => {
    const { relay, pair } = await relayed({ socketBufferBytes: 4096, shape: { bufferBytes: 4096 } })
    const { dialler, target } = await pair()
    target.socket.pause()
    const body = Buffer.alloc(8 * 1024 * 1024, 7)
    dialler.socket.end(body)
    await sleep(100)
    // The kernel's buffer of the reader, which is not ours, holds a few hundred KiB.
    expect(relay.passed.up).toBeLessThan(1024 * 1024)
    target.socket.resume()
    await until(() => target.seen.hasEnded, 'all has come')
    expect(relay.passed.up).toBe(body.byteLength)
  })
})

describe('a shaped network', () => {
  it('delays all, and keeps the order under jitter and losses', async () => {
    const shape = { delayMs: 20, jitterMs: 10, loss: 0.1, retransmitMs: 15, segmentBytes: 40 }
    const { pair } = await relayed({ shape, seed: 7 })
    const { dialler, target } = await pair()
    const sent = Array.from({ length: 500 }, (_, i) => `${i},`).join('')
    const startedAt = performance.now()
    for (let at = 0; at < sent.length; at += 7) dialler.socket.write(sent.slice(at, at + 7))
    await once(target.socket, 'data')
    expect(performance.now() - startedAt).toBeGreaterThan(19)
    await until(() => target.text().length === sent.length, 'all has come')
    expect(target.text()).toBe(sent)
  })

  it('lets so many bytes a second pass, as of now', async () => {
    const { relay, pair } = await relayed()
    const { dialler, target } = await pair()
    relay.reshape({ bytesPerSecond: 100_000, segmentBytes: 1_000 }, ['up'])
    const startedAt = performance.now()
    dialler.socket.write(Buffer.alloc(20_000))
    await until(() => target.text().length === 20_000, 'all has come')
    expect(performance.now() - startedAt).toBeGreaterThan(195)
  })

  it('stalls, and loses nothing', async () => {
    const { relay, pair } = await relayed()
    const { dialler, target } = await pair()
    relay.stall(60)
    const startedAt = performance.now()
    dialler.socket.write('a')
    const { dialler: late, target: lateTarget } = await pair()
    late.socket.write('b')
    await until(() => target.text() + lateTarget.text() === 'ab', 'all has come')
    expect(performance.now() - startedAt).toBeGreaterThan(55)
  })

  it('forgets a connection that is idle, and no other', async () => {
    const { pair } = await relayed({ shape: { idleTimeoutMs: 60 } })
    const idle = await pair()
    const busy = await pair()
    for (let i = 0; i < 10; i++) {
      await sleep(15)
      busy.target.socket.write('x')
    }
    idle.dialler.socket.end('lost')
    busy.dialler.socket.write('kept')
    await until(() => busy.target.text() === 'kept', 'the busy one passes')
    await sleep(10)
    expect(idle.target).toMatchObject({ seen: { hasEnded: false, isClosed: false } })
    expect(idle.target.text()).toBe('')
  })
})

describe('a broken network', () => {
  it('goes dark in one direction: sockets stay open, the other direction passes', async () => {
    const { relay, dial, pair } = await relayed()
    const { dialler, target } = await pair()
    relay.blackhole(['up'])
    dialler.socket.write('lost')
    target.socket.write('heard')
    await until(() => dialler.text() === 'heard', 'it came')
    const newcomer = await dial()
    newcomer.socket.write('lost too')
    relay.heal()
    const after = await pair()
    after.dialler.socket.write('hello')
    await until(() => after.target.text() === 'hello', 'new ones pass')
    dialler.socket.end('lost as well')
    await sleep(10)
    expect(target.text()).toBe('')
    expect([target.seen, newcomer.seen]).toEqual([
      { error: '', hasEnded: false, isClosed: false },
      { error: '', hasEnded: false, isClosed: false },
    ])
    expect(relay.numConnections).toBe(2)
  })

  it.each([
    ['cut', ''],
    ['reset', 'ECONNRESET'],
    ['finish', ''],
  ] as const)('ends both sides by %s', async (how, error) => {
    const { relay, pair } = await relayed()
    const { dialler, target } = await pair()
    relay[how]()
    await until(() => dialler.seen.hasEnded || dialler.seen.isClosed, 'the dialler knows')
    await until(() => target.seen.hasEnded || target.seen.isClosed, 'the target knows')
    expect([dialler.seen.error, target.seen.error]).toEqual([error, error])
    dialler.socket.end()
    target.socket.end()
    await until(() => relay.numOpen === 0, 'nothing is left')
  })

  it('refuses whom it is told to refuse', async () => {
    const { relay } = await relayed()
    relay.refuse()
    const { socket, seen } = watched(connect(relay.port, '127.0.0.1'))
    await new Promise((resolve) => socket.on('close', resolve))
    expect(seen.error).toBe('ECONNRESET')
    expect(relay.numConnections).toBe(0)
  })
})
