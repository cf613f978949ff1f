import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { parseTunnelUrl, type Tunnel } from '../../backend/tunnel/dial.ts'
import type { TunnelHandler } from '../../shared/tunnel/exchange.ts'
import { encodeMessage } from '../../shared/tunnel/frame.ts'
import { encodeHello } from '../../shared/tunnel/message.ts'
import { testHello } from '../support/tunnel-memory.ts'
import {
  dialTest,
  fastTiming,
  memoryLog,
  startGateway,
  testRequest,
  until,
  type TestGateway,
} from '../support/tunnel-pair.ts'
import { startRelay } from '../support/tunnel-relay.ts'

const cleanUps: (() => Promise<void> | void)[] = []

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp()
})

const gatewayFor = async (...args: Parameters<typeof startGateway>): Promise<TestGateway> => {
  const gateway = await startGateway(...args)
  cleanUps.push(() => gateway.close())
  return gateway
}

const dialFor = (options: Parameters<typeof dialTest>[0]): Tunnel => {
  const tunnel = dialTest(options)
  cleanUps.push(() => tunnel.close(0))
  return tunnel
}

const relayTo = async (gateway: TestGateway) => {
  const relay = await startRelay(gateway.port)
  cleanUps.push(() => relay.close())
  return { relay, url: `ws://127.0.0.1:${relay.port}/tunnel` }
}

const ok: TunnelHandler = async () => new Response('ok')

const upgradeHeaders = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
  'sec-websocket-protocol': 'burrow.1',
  authorization: 'Bearer token-a',
}

/** The HTTP answer to an upgrade request that is not upgraded. */
const refused = async (gateway: TestGateway, headers: Record<string, string>, path = '/tunnel') => {
  const sent = httpRequest({ port: gateway.port, host: '127.0.0.1', path, headers }).end()
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk)
  return {
    status: response.statusCode,
    headers: response.headers,
    body: Buffer.concat(chunks).toString(),
  }
}

const without = (...names: string[]) =>
  Object.fromEntries(Object.entries(upgradeHeaders).filter(([name]) => !names.includes(name)))

describe('a gateway, before it upgrades', () => {
  it.each([
    ['no token', without('authorization')],
    ['an unknown token', { ...upgradeHeaders, authorization: 'Bearer wrong' }],
    ['another scheme', { ...upgradeHeaders, authorization: 'Basic token-a' }],
    [
      'a token of 10,000 characters',
      { ...upgradeHeaders, authorization: `Bearer ${'x'.repeat(10_000)}` },
    ],
  ])('answers 401 to %s', async (_, headers) => {
    const gateway = await gatewayFor()
    const { status, body } = await refused(gateway, headers)
    expect({ status, body: JSON.parse(body) }).toEqual({
      status: 401,
      body: {
        error: {
          message: 'This gateway does not know this backend token.',
          type: 'invalid_request_error',
          param: null,
          code: 'invalid_backend_token',
        },
      },
    })
  })

  it('answers 426 with what it speaks to another protocol, or to none', async () => {
    const gateway = await gatewayFor()
    for (const headers of [
      { ...upgradeHeaders, 'sec-websocket-protocol': 'burrow.2, mqtt' },
      without('sec-websocket-protocol'),
    ]) {
      const answer = await refused(gateway, headers)
      expect([answer.status, answer.headers['sec-websocket-protocol']]).toEqual([426, 'burrow.1'])
    }
  })

  it('answers 503 with Retry-After when tokens cannot be checked', async () => {
    const gateway = await gatewayFor(undefined, {
      authenticate: () => Promise.reject(new Error('database is locked')),
    })
    const answer = await refused(gateway, upgradeHeaders)
    expect([answer.status, answer.headers['retry-after']]).toEqual([503, '1'])
    expect(gateway.log.lines.join()).toContain('database is locked')
  })

  it('answers 503 when a token takes longer to check than a handshake may', async () => {
    const gateway = await gatewayFor(
      { ...fastTiming, handshakeMs: 30 },
      { authenticate: () => new Promise(() => {}) },
    )
    expect((await refused(gateway, upgradeHeaders)).status).toBe(503)
  })

  it('leaves other paths to others', async () => {
    const gateway = await gatewayFor()
    expect((await refused(gateway, upgradeHeaders, '/tunnels')).status).toBe(404)
  })
})

describe('a gateway, after it upgraded', () => {
  const rawSocket = async (gateway: TestGateway): Promise<WebSocket> => {
    const socket = new WebSocket(gateway.url, ['burrow.1'], {
      headers: { authorization: 'Bearer token-a' },
    })
    cleanUps.push(() => socket.terminate())
    await once(socket, 'open')
    return socket
  }

  const closeCode = async (socket: WebSocket): Promise<unknown> => (await once(socket, 'close'))[0]

  it('negotiates no compression', async () => {
    const socket = await rawSocket(await gatewayFor())
    expect([socket.protocol, socket.extensions]).toEqual(['burrow.1', ''])
  })

  it('closes one that says nothing', async () => {
    const gateway = await gatewayFor({ ...fastTiming, handshakeMs: 30 })
    expect(await closeCode(await rawSocket(gateway))).toBe(4008)
  })

  it('closes one that sends text', async () => {
    const socket = await rawSocket(await gatewayFor())
    socket.send('hello')
    expect(await closeCode(socket)).toBe(4002)
  })

  it('closes one that sends a message over 256 KiB', async () => {
    const socket = await rawSocket(await gatewayFor())
    socket.send(new Uint8Array(256 * 1024 + 1))
    expect(await closeCode(socket)).toBe(1009)
  })

  it('cuts a backend off before it has said HELLO, when its token is revoked meanwhile', async () => {
    const gateway = await gatewayFor()
    const socket = await rawSocket(gateway)
    expect(gateway.registry.disconnect('a', 'revoked')).toBe(true)
    expect(await closeCode(socket)).toBe(4001)
    expect(gateway.registry.backends()).toEqual([])
  })

  it('closes a late connection of the same process, and keeps the newer one', async () => {
    const gateway = await gatewayFor()
    const hello = (generation: number) =>
      encodeMessage([
        { name: 'HELLO', streamId: 0, payload: encodeHello({ ...testHello, generation }) },
      ])
    const [older, newer] = [await rawSocket(gateway), await rawSocket(gateway)]
    // Only one handshake at a time: the older one was told to dial again.
    expect(await closeCode(older)).toBe(1001)
    newer.send(hello(2))
    await until(() => gateway.registry.backends().length === 1, 'it is connected')
    const late = await rawSocket(gateway)
    late.send(hello(1))
    expect(await closeCode(late)).toBe(4009)
    expect(newer.readyState).toBe(WebSocket.OPEN)
    expect(gateway.registry.backends()).toHaveLength(1)
  })
})

describe('the address of a tunnel', () => {
  it('may be wss anywhere, and ws on this machine', () => {
    for (const url of [
      'wss://gateway.example/tunnel',
      'ws://127.0.0.1:8080/tunnel',
      'ws://localhost/tunnel',
      'ws://[::1]:8080/tunnel',
    ]) {
      expect(parseTunnelUrl(url).href).toBe(url)
    }
  })

  it.each([
    ['ws://gateway.example/tunnel', 'Use wss:// for gateway.example'],
    ['ws://127.0.0.1.example/tunnel', 'Use wss:// for 127.0.0.1.example'],
    ['ws://192.168.1.2/tunnel', 'Use wss:// for 192.168.1.2'],
    ['https://gateway.example', 'must begin with wss://'],
    ['gateway', 'must begin with wss://'],
  ])('may not be %s', (url, message) => {
    expect(() => dialTest({ url, handler: ok })).toThrow(message)
  })
})

describe('a backend that dials', () => {
  it('says what is wrong with its token, and does not tell the token', async () => {
    const gateway = await gatewayFor()
    const log = memoryLog()
    dialFor({ url: gateway.url, token: 'secret', handler: ok, log })
    await until(() => log.lines.length > 0, 'it has tried')
    expect(log.lines[0]).toContain('the gateway does not know this backend token')
    expect(log.lines[0]).toContain('retryInMs=60000')
    expect(log.lines.join()).not.toContain('secret')
  })

  it('connects when the gateway appears', async () => {
    const gateway = await startGateway()
    const { port, url } = gateway
    await gateway.close()
    const log = memoryLog()
    const tunnel = dialFor({ url, handler: ok, log, random: () => 0.1 })
    await until(() => log.lines.length > 0, 'it has tried')
    expect(log.lines[0]).toContain('the gateway cannot be reached')
    const again = await gatewayFor(undefined, {}, port)
    await tunnel.connected
    expect(again.registry.models()).toEqual(['tiny'])
  })

  it('comes back after each of five cuts, and serves', async () => {
    const gateway = await gatewayFor()
    const { relay, url } = await relayTo(gateway)
    const log = memoryLog()
    await dialFor({ url, handler: ok, log }).connected
    for (let i = 1; i <= 5; i++) {
      relay.cut()
      await until(() => gateway.registry.backends().length === 0, 'the gateway knows')
      await until(() => gateway.registry.backends().length === 1, 'it is back')
      const exchange = gateway.registry.pick('tiny')?.open(testRequest())
      expect(await new Response(exchange?.body ?? null).text()).toBe('ok')
    }
    expect(relay.numConnections).toBe(6)
    expect(log.lines.filter((line) => line.includes('tunnel connected'))).toHaveLength(6)
    expect(log.lines.filter((line) => line.includes('tunnel down'))).toHaveLength(5)
  })

  it('gives way to another process with the same token, and does not fight', async () => {
    const gateway = await gatewayFor()
    const first = dialFor({ url: gateway.url, handler: async () => new Response('first') })
    await first.connected
    const running = gateway.registry.pick('tiny')
    const second = dialFor({ url: gateway.url, handler: async () => new Response('second') })
    await second.connected
    expect(await first.ended).toBe('replaced')
    const exchange = gateway.registry.pick('tiny')?.open(testRequest())
    expect(await new Response(exchange?.body ?? null).text()).toBe('second')
    await expect(running?.open(testRequest()).head).rejects.toMatchObject({ mayHaveRun: false })
    expect(gateway.registry.backends()).toHaveLength(1)
  })

  it('waits a minute after its token was revoked', async () => {
    const gateway = await gatewayFor()
    const log = memoryLog()
    await dialFor({ url: gateway.url, handler: ok, log }).connected
    gateway.registry.disconnect('a', 'revoked by the operator')
    await until(() => log.lines.length === 2, 'it knows')
    expect(log.lines[1]).toContain('no longer accepts this backend token: revoked by the operator')
    expect(log.lines[1]).toContain('retryInMs=60000')
    expect(gateway.registry.disconnect('a', 'again')).toBe(false)
  })

  it('finishes what runs when it is closed, and stays away', async () => {
    const gateway = await gatewayFor()
    const tunnel = dialFor({
      url: gateway.url,
      handler: async () => {
        await sleep(30)
        return new Response('finished')
      },
    })
    await tunnel.connected
    const exchange = gateway.registry.pick('tiny')?.open(testRequest())
    await sleep(10)
    await Promise.all([tunnel.close(), tunnel.close()])
    expect(await new Response(exchange?.body ?? null).text()).toBe('finished')
    expect(await exchange?.settled).toMatchObject({ outcome: 'completed' })
    expect(await tunnel.ended).toBe('closed')
    await until(() => gateway.registry.backends().length === 0, 'the gateway knows')
  })

  it('can be closed while it waits to dial again', async () => {
    const tunnel = dialFor({ url: 'ws://127.0.0.1:1/tunnel', handler: ok, random: () => 0.99 })
    await sleep(20)
    await tunnel.close()
    await expect(tunnel.connected).rejects.toThrow('the tunnel was closed')
  })
})

describe('a connection that breaks', () => {
  const endless: TunnelHandler = async () =>
    new Response(
      new ReadableStream({
        async pull(controller) {
          await sleep(1)
          controller.enqueue(Uint8Array.of(1))
        },
      }),
    )

  it('errors the bodies, settles each exchange once, and stops the handlers', async () => {
    const gateway = await gatewayFor()
    const { relay, url } = await relayTo(gateway)
    const signals: AbortSignal[] = []
    await dialFor({
      url,
      handler: (request, exchange) => {
        signals.push(request.signal)
        return endless(request, exchange)
      },
    }).connected
    const backend = gateway.registry.pick('tiny')
    const exchanges = Array.from({ length: 10 }, () => backend?.open(testRequest()))
    const readers = exchanges.map((exchange) => exchange?.body.getReader())
    for (const reader of readers) await reader?.read()
    relay.cut()
    for (const [i, exchange] of exchanges.entries()) {
      expect(await exchange?.settled).toEqual({
        outcome: 'failed',
        usage: null,
        errorCode: 'CONNECTION_LOST',
      })
      const readAll = async () => {
        while (!(await readers[i]?.read())?.done);
      }
      await expect(readAll()).rejects.toMatchObject({ code: 'CONNECTION_LOST', mayHaveRun: true })
    }
    await until(() => signals.every((signal) => signal.aborted), 'the handlers stop')
    expect(backend?.openStreams).toBe(0)
  })

  it('rejects the head of a request that may have run', async () => {
    const gateway = await gatewayFor()
    const { relay, url } = await relayTo(gateway)
    let numCalls = 0
    await dialFor({
      url,
      handler: () => {
        numCalls++
        return new Promise(() => {})
      },
    }).connected
    const exchange = gateway.registry.pick('tiny')?.open(testRequest('x'))
    await until(() => numCalls === 1, 'it has begun')
    relay.cut()
    await expect(exchange?.head).rejects.toMatchObject({
      code: 'CONNECTION_LOST',
      mayHaveRun: true,
    })
    await expect(exchange?.body.getReader().read()).rejects.toMatchObject({
      code: 'CONNECTION_LOST',
    })
    expect(await exchange?.settled).toMatchObject({ outcome: 'failed' })
    await until(() => gateway.registry.backends().length === 1, 'it is back')
    expect(numCalls).toBe(1)
  })

  it('is found out though its sockets stay open, three times in a row, and nothing is left', async () => {
    const gateway = await gatewayFor(fastTiming)
    const { relay, url } = await relayTo(gateway)
    const log = memoryLog()
    await dialFor({ url, handler: endless, log, timing: fastTiming }).connected
    for (let i = 0; i < 3; i++) {
      const backend = gateway.registry.pick('tiny')
      const exchange = backend?.open(testRequest())
      await exchange?.head
      relay.blackhole()
      const start = performance.now()
      expect(await exchange?.settled).toMatchObject({ errorCode: 'CONNECTION_LOST' })
      const detectedMs = performance.now() - start
      expect(detectedMs).toBeGreaterThan(fastTiming.busySilenceMs / 2)
      expect(detectedMs).toBeLessThan(fastTiming.busySilenceMs * 2)
      relay.heal()
      await until(() => ![backend, null].includes(gateway.registry.pick('tiny')), 'it is back')
    }
    expect(log.lines.filter((line) => line.includes('4008'))).toHaveLength(3)
    expect(gateway.registry.backends().map(({ openStreams }) => openStreams)).toEqual([0])
  })

  it('is replaced at once by a new one, while the gateway still believes in the old', async () => {
    const gateway = await gatewayFor()
    const { relay, url } = await relayTo(gateway)
    await dialFor({ url, handler: ok, timing: fastTiming }).connected
    const old = gateway.registry.pick('tiny')
    relay.blackhole()
    // Only the backend's clock is fast: the gateway hears of it by the new connection.
    await sleep(fastTiming.idleSilenceMs + 50)
    relay.heal()
    await until(() => gateway.registry.pick('tiny') !== old, 'the new one is there')
    await expect(old?.open(testRequest()).head).rejects.toMatchObject({ mayHaveRun: false })
    const exchange = gateway.registry.pick('tiny')?.open(testRequest())
    expect(await new Response(exchange?.body ?? null).text()).toBe('ok')
  })

  it('is not mistaken for dead while it is full of data', async () => {
    const gateway = await gatewayFor(fastTiming)
    await dialFor({
      url: gateway.url,
      timing: fastTiming,
      handler: async (request) => new Response(request.body),
    }).connected
    const backend = gateway.registry.pick('tiny')
    const body = new Uint8Array(6 * 1024 * 1024)
    const outcomes = await Promise.all(
      Array.from({ length: 8 }, async () => {
        const exchange = backend?.open(testRequest(body))
        const { byteLength } = await new Response(exchange?.body ?? null).bytes()
        return byteLength
      }),
    )
    expect(new Set(outcomes)).toEqual(new Set([body.byteLength]))
  })
})
