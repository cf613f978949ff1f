import { evictDurableObject, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { describe, expect, it } from 'vitest'
import type { SocketRecord } from '../../../gateway/workers/hub-socket.ts'
import { textPing, textPong } from '../../../shared/tunnel/handshake.ts'
import type { PeerReport } from '../../../shared/tunnel/connection-report.ts'
import { defaultTiming, limits } from '../../../shared/tunnel/limits.ts'
import { testAdminToken } from '../../support/worker-secrets.ts'
import {
  administer,
  ask,
  chat,
  connectBackend,
  done,
  event,
  heldStream,
  testKey,
  textReader,
} from './test-worker.ts'

const hub = () => env.HUB.getByName('hub')

const fallAsleep = () => evictDurableObject(hub(), { webSockets: 'hibernate' })

/** What is kept with the backend's WebSocket. */
const recordOf = (name: string): Promise<SocketRecord | undefined> =>
  runInDurableObject(hub(), (_, ctx) =>
    ctx
      .getWebSockets()
      .map((webSocket): SocketRecord => webSocket.deserializeAttachment())
      .find(({ backend }) => backend?.name === name),
  )

/** Changes that, as another past would have left it. */
const changeRecord = (name: string, change: Partial<SocketRecord>): Promise<void> =>
  runInDurableObject(hub(), (_, ctx) => {
    for (const webSocket of ctx.getWebSockets()) {
      const record: SocketRecord = webSocket.deserializeAttachment()
      if (record.backend?.name === name) webSocket.serializeAttachment({ ...record, ...change })
    }
  })

/** An answer that is not read to its end keeps the hub awake. */
const whole = async (response: Response) => ({
  status: response.status,
  shouldRetry: response.headers.get('x-should-retry'),
  text: await response.text(),
})

/** The object's memory is lost, and everything that it was doing. */
const crash = async (): Promise<void> => {
  // vitest's plugin keeps workerd's reports of an error with these first words to itself.
  const abort = runInDurableObject(hub(), (_, ctx) => ctx.abort('Instance disposed by a test'))
  await abort.catch(() => {})
}

describe('the hub', () => {
  it('passes a stream on, event by event', async () => {
    const key = await testKey()
    const stream = heldStream(event('a'))
    await connectBackend({ name: 'streams', handler: stream.handler })
    const reader = textReader(await chat(key, { model: 'streams', stream: true }))
    expect(await reader.next()).toBe(event('a'))
    stream.end(event('b') + done)
    expect([await reader.next(), await reader.next()]).toEqual([event('b') + done, null])
  })

  it('passes a large request on, and a large answer as far as it is read', async () => {
    const key = await testKey()
    const numBytes = 2 * 1024 * 1024
    let numPulled = 0
    await connectBackend({
      name: 'large',
      handler: async (request) => {
        const { padding } = await request.json<{ padding: string }>()
        expect(padding.length).toBe(numBytes)
        const body = new ReadableStream<Uint8Array>({
          pull(controller) {
            numPulled += limits.dataBytes
            controller.enqueue(new Uint8Array(limits.dataBytes))
            if (numPulled === numBytes) controller.close()
          },
        })
        return new Response(body)
      },
    })
    const response = await chat(key, { model: 'large', padding: 'x'.repeat(numBytes) })
    let last = -1
    while (numPulled !== last) {
      last = numPulled
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    // A window, and what the streams between here and there hold.
    expect(numPulled).toBeLessThan(numBytes / 4)
    expect((await response.arrayBuffer()).byteLength).toBe(numBytes)
  })

  it('ends the streams of a revoked key at once, and nobody else’s', async () => {
    const keys = [await testKey(), await testKey()] as const
    const stream = heldStream(event('a'))
    await connectBackend({ name: 'revoked', handler: stream.handler })
    const body = { model: 'revoked', stream: true }
    const mine = textReader(await chat(keys[0], body))
    const theirs = textReader(await chat(keys[1], body))
    await Promise.all([mine.next(), theirs.next()])
    const before = Date.now()
    await administer('DELETE', `/keys/${keys[0].id}`)
    expect(await mine.next()).toContain('data: {"error":{"message":"This API key has been revoked.')
    expect(await mine.next()).toBeNull()
    await stream.cancelled
    expect(Date.now() - before).toBeLessThan(1_000)
    stream.end(done)
    expect(await theirs.next()).toBe(done)
  })

  it('tells the admin token’s holder how the tunnel is, and nobody else', async () => {
    const key = await testKey()
    await connectBackend({ name: 'told', handler: async () => new Response('ok') })
    await (await chat(key, { model: 'told' })).text()
    const { backends } = await administer<{ backends: PeerReport[] }>('GET', '/tunnel')
    const told = backends.find(({ name }) => name === 'told')
    expect(told?.connections).toMatchObject([{ state: 'ready', counters: { streamsOpened: 1 } }])

    const headers = { authorization: `Bearer ${testAdminToken}` }
    const scraped = await ask('/admin/metrics', { headers })
    expect(await scraped.text()).toContain('burrow_tunnel_streams_total{backend="told"} 1\n')
    for (const [path, status] of [
      ['/admin/metrics', 401],
      ['/admin/tunnel', 401],
      ['/metrics', 404],
    ] as const) {
      const refused = await ask(path)
      await refused.text()
      expect([path, refused.status]).toEqual([path, status])
    }
  })

  it('cuts a revoked backend off', async () => {
    const { id, session } = await connectBackend({ name: 'outcast' })
    await administer('DELETE', `/backends/${id}`)
    expect(await session.closed).toMatchObject({ code: 4001, by: 'peer' })
  })

  it('refuses a text message', async () => {
    const { session, webSocket } = await connectBackend({ name: 'talker' })
    webSocket.send('hello')
    expect(await session.closed).toMatchObject({ code: 4002, reason: 'a text message' })
  })
})

describe('a sleeping hub', () => {
  it('is woken by a request, and the same socket goes on with the next stream', async () => {
    const key = await testKey()
    const ids: string[] = []
    const { session } = await connectBackend({
      name: 'sleeper',
      handler: async (_request, { requestId }) => {
        ids.push(requestId)
        return new Response('ok')
      },
    })
    for (let i = 0; i < 2; i++) {
      expect(await whole(await chat(key, { model: 'sleeper' }))).toMatchObject({ text: 'ok' })
      await fallAsleep()
    }
    expect([new Set(ids).size, session.openStreams]).toEqual([2, 0])
    expect((await recordOf('sleeper'))?.idle?.snapshot).toMatchObject({ lastStreamId: 3 })
  })

  it('is not woken by an idle backend, which pings by text', async () => {
    const { session, texts } = await connectBackend({
      name: 'idle',
      timing: { ...defaultTiming, pingMs: 10, tickMs: 2 },
    })
    await fallAsleep()
    const before = texts.length
    while (texts.length < before + 3) await new Promise((resolve) => setTimeout(resolve, 5))
    // It refuses what is asleep already.
    await expect(fallAsleep()).rejects.toThrow()
    expect(new Set(texts)).toEqual(new Set([textPong]))
    expect(session.openStreams).toBe(0)
  })

  it('remembers nothing while streams are open, and all that it needs once they are over', async () => {
    const key = await testKey()
    const stream = heldStream(event('a'))
    await connectBackend({ name: 'busy', handler: stream.handler })
    const idle = await recordOf('busy')
    expect(idle?.idle?.snapshot).toMatchObject({ lastStreamId: -1, hello: { models: ['busy'] } })
    const reader = textReader(await chat(key, { model: 'busy', stream: true }))
    await reader.next()
    expect(await recordOf('busy')).toMatchObject({ idle: null })
    stream.end(done)
    while ((await reader.next()) !== null);
    expect((await recordOf('busy'))?.idle?.snapshot).toMatchObject({ lastStreamId: 1 })
  })

  it('has a backend dial again when it cannot go on with its connection', async () => {
    const key = await testKey()
    const { session } = await connectBackend({ name: 'lost' })
    await changeRecord('lost', { idle: null })
    await fallAsleep()
    expect(await whole(await chat(key, { model: 'lost' }))).toMatchObject({ status: 503 })
    expect(await session.closed).toMatchObject({ code: 1001, by: 'peer' })
  })

  it('turns to no backend that has been silent, but to one that has pinged', async () => {
    const key = await testKey()
    const silent = await connectBackend({ name: 'silent' })
    const pinging = await connectBackend({ name: 'pinging' })
    for (const name of ['silent', 'pinging']) await changeRecord(name, { savedAtMs: 0 })
    pinging.webSocket.send(textPing)
    while (pinging.texts.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    await fallAsleep()
    expect(await whole(await chat(key, { model: 'pinging' }))).toMatchObject({ status: 200 })
    expect(await silent.session.closed).toMatchObject({ code: 4008, by: 'peer' })
  })

  it('says so to a backend whose HELLO it could not keep', async () => {
    const models = Array.from({ length: 63 }, (_, i) => `${i}`.padEnd(250, '-'))
    const { session } = await connectBackend({ name: 'wordy', hello: { models } })
    expect(await session.closed).toMatchObject({
      code: 4002,
      reason: 'HELLO is too large for a gateway on Workers: name fewer models',
    })
  })
})

describe('a hub that crashes', () => {
  it('breaks the streams that run: never a clean end', async () => {
    const key = await testKey()
    const stream = heldStream(event('a'))
    const { session } = await connectBackend({ name: 'crash', handler: stream.handler })
    const reader = textReader(await chat(key, { model: 'crash', stream: true }))
    await reader.next()
    await crash()
    await expect(reader.next()).rejects.toThrow()
    await stream.cancelled
    expect(await session.closed).toMatchObject({ by: 'peer' })
    await connectBackend({ name: 'crash-again', handler: async () => new Response('back') })
    expect(await whole(await chat(key, { model: 'crash-again' }))).toMatchObject({ text: 'back' })
  })

  it('answers requests that may have run with a 502 that is not to be repeated', async () => {
    const key = await testKey()
    const started = Promise.withResolvers<void>()
    await connectBackend({
      name: 'crash-early',
      handler: () => {
        started.resolve()
        return new Promise(() => {})
      },
    })
    const answer = chat(key, { model: 'crash-early' })
    await started.promise
    await crash()
    expect(await whole(await answer)).toMatchObject({ status: 502, shouldRetry: 'false' })
  })
})
