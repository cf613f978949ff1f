import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { describe, expect, it, onTestFinished } from 'vitest'
import { WebSocket } from 'ws'
import { encodeMessage } from '../../shared/tunnel/frame.ts'
import { encodeHello } from '../../shared/tunnel/hello.ts'
import { limits } from '../../shared/tunnel/limits.ts'
import { testHello } from '../support/tunnel-memory.ts'
import { fastTiming, until, type TestGateway } from '../support/tunnel-pair.ts'
import { gatewayFor } from './for-one-test.ts'

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
    ['an unknown token', { ...upgradeHeaders, authorization: 'Bearer wrong' }],
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

  it.each([
    ['no token', without('authorization')],
    ['another scheme', { ...upgradeHeaders, authorization: 'Basic token-a' }],
  ])('answers 401 to %s', async (_, headers) => {
    const gateway = await gatewayFor()
    const { status, body } = await refused(gateway, headers)
    expect([status, JSON.parse(body).error.message]).toEqual([
      401,
      'A backend must present its token.',
    ])
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
    onTestFinished(() => socket.terminate())
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

  it('keeps no more unfinished handshakes of a backend than it may have connections', async () => {
    const gateway = await gatewayFor()
    const sockets: WebSocket[] = []
    for (let i = 0; i <= limits.connections; i++) sockets.push(await rawSocket(gateway))
    const [oldest, ...others] = sockets
    if (!oldest) throw new Error('no socket')
    expect(await closeCode(oldest)).toBe(1001)
    expect(others.map(({ readyState }) => readyState)).toEqual(others.map(() => WebSocket.OPEN))
  })

  it('closes a late connection of the same process, and keeps the newer one', async () => {
    const gateway = await gatewayFor()
    const hello = (generation: number) =>
      encodeMessage([
        { name: 'HELLO', streamId: 0, payload: encodeHello({ ...testHello, generation }) },
      ])
    const newer = await rawSocket(gateway)
    newer.send(hello(2))
    await until(() => gateway.registry.backends().length === 1, 'it is connected')
    const late = await rawSocket(gateway)
    late.send(hello(1))
    expect(await closeCode(late)).toBe(4009)
    expect(newer.readyState).toBe(WebSocket.OPEN)
    expect(gateway.registry.backends()).toHaveLength(1)
  })
})
