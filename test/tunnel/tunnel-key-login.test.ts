import { once } from 'node:events'
import { describe, expect, onTestFinished, test } from 'vitest'
import { WebSocket } from 'ws'
import { tunnelKeyLogin } from '../../backend/tunnel/login.ts'
import { decodeMessage, encodeMessage } from '../../shared/tunnel/frame.ts'
import { encodeHello } from '../../shared/tunnel/hello.ts'
import { testHello } from '../support/tunnel-memory.ts'
import { fastTiming, memoryLog, until, type TestGateway } from '../support/tunnel-pair.ts'
import { enrolledGateway, tunnelKey } from './enrolled.ts'
import { dialFor, ok } from './for-one-test.ts'

const key = 'the-first-key-of-32-characters-00'
const newKey = 'the-other-key-of-32-characters-00'

const dialWith = (gateway: TestGateway, text: string, name = 'box') => {
  const log = memoryLog()
  const login = tunnelKeyLogin(tunnelKey(text), name)
  return { log, tunnel: dialFor({ url: gateway.url, login, handler: ok, log }) }
}

const firstLine = async (log: { readonly lines: readonly string[] }): Promise<string> => {
  await until(() => log.lines.length > 0, 'it has tried')
  return log.lines[0] ?? ''
}

describe('a backend with the tunnel key', () => {
  test('is let in under its name, and is the same one when it comes again', async () => {
    const gateway = await enrolledGateway({ tunnelKeys: [key] })
    const { tunnel } = dialWith(gateway, key)
    await tunnel.connected
    const [first] = await gateway.admin.listBackends()
    expect(first).toMatchObject({
      name: 'box',
      login: 'tunnel key',
      scope: null,
      connected: true,
      hint: '',
    })
    await tunnel.close()
    await dialWith(gateway, key).tunnel.connected
    await dialWith(gateway, key, 'other').tunnel.connected
    const listed = await gateway.admin.listBackends()
    expect(listed.map(({ name }) => name)).toEqual(['box', 'other'])
    expect(listed[0]?.id).toBe(first?.id)
  })

  test('that is the wrong one is turned down, and nothing of it is kept', async () => {
    const gateway = await enrolledGateway({ tunnelKeys: [key] })
    const line = await firstLine(dialWith(gateway, newKey).log)
    expect(line).toContain('the proof of the pre-shared key is missing or wrong')
    expect(line).toContain('retryInMs=60000')
    expect(await gateway.admin.listBackends()).toEqual([])
  })

  test('is told when the gateway has none', async () => {
    const gateway = await enrolledGateway()
    const line = await firstLine(dialWith(gateway, key).log)
    expect(line).toContain('This gateway has no tunnel key: enroll the backend here')
  })

  test('may come with the old or the new one while both hold', async () => {
    const gateway = await enrolledGateway({ tunnelKeys: [newKey, key] })
    await dialWith(gateway, key, 'late').tunnel.connected
    await dialWith(gateway, newKey, 'early').tunnel.connected
    expect(gateway.registry.backends().map(({ name }) => name)).toEqual(['late', 'early'])
  })

  test('cannot be somebody who was enrolled', async () => {
    const gateway = await enrolledGateway({ tunnelKeys: [key] })
    await gateway.admin.enrollBackend('box')
    const line = await firstLine(dialWith(gateway, key).log)
    expect(line).toContain('The backend box is enrolled: it needs its own secret.')
  })

  test('stays away once its name was revoked, and is enrolled to come back', async () => {
    const gateway = await enrolledGateway({ tunnelKeys: [key] })
    const { tunnel, log } = dialWith(gateway, key)
    await tunnel.connected
    const [box] = await gateway.admin.listBackends()
    await gateway.admin.revokeBackend(box?.id ?? '')
    await until(() => log.lines.length === 2, 'it is cut off')
    expect(log.lines[1]).toContain('the backend was revoked')
    expect(await firstLine(dialWith(gateway, key).log)).toContain('The backend box was revoked.')
    expect(await gateway.admin.listBackends()).toHaveLength(1)
  })

  test('is cut off when it is enrolled: from then on it needs its secret', async () => {
    const gateway = await enrolledGateway({ tunnelKeys: [key] })
    const { tunnel, log } = dialWith(gateway, key)
    await tunnel.connected
    const [before] = await gateway.admin.listBackends()
    const { backend } = await gateway.admin.enrollBackend('box', ['tiny'])
    expect(backend).toMatchObject({ id: before?.id, login: 'secret', scope: ['tiny'] })
    await until(() => log.lines.length === 2, 'it is cut off')
    expect(await firstLine(dialWith(gateway, key).log)).toContain('The backend box is enrolled')
  })

  test('that is revoked between its proof and its welcome is not let in', async () => {
    const gateway = await enrolledGateway({
      tunnelKeys: [key],
      wrapLogin: (login, admin) => ({
        hasTunnelKey: true,
        withToken: (token) => login.withToken(token),
        withTunnelKey: async (name) => {
          const grant = await login.withTunnelKey(name)
          await admin.revokeBackend(grant.backendId)
          return grant
        },
        isProof: (proof, input) => login.isProof(proof, input),
        isInForce: (grant) => login.isInForce(grant),
      }),
    })
    expect(await firstLine(dialWith(gateway, key).log)).toContain('the backend was revoked')
    expect(gateway.registry.backends()).toEqual([])
  })

  test('is not written into a log', async () => {
    const gateway = await enrolledGateway({ tunnelKeys: [key, newKey] })
    const { tunnel, log } = dialWith(gateway, key)
    await tunnel.connected
    const wrong = dialWith(gateway, `${key}x`, 'wrong')
    await firstLine(wrong.log)
    const lines = [...gateway.log.lines, ...log.lines, ...wrong.log.lines].join('\n')
    for (const text of [key, newKey]) expect(lines).not.toContain(text)
  })
})

/** A socket that asks for a CHALLENGE, below any session. */
const stranger = async (gateway: TestGateway, name = 'box') => {
  const socket = new WebSocket(gateway.url, ['burrow.1'], { headers: { 'burrow-backend': name } })
  onTestFinished(() => socket.terminate())
  const message = once(socket, 'message')
  const closed = once(socket, 'close').then(([code, reason]) => [code, String(reason)])
  const [data] = await message
  const [challenge] = decodeMessage(new Uint8Array(data))
  return { socket, closed, challenge, nonce: challenge?.payload.slice() ?? new Uint8Array(0) }
}

const sendHello = (socket: WebSocket, proof?: string): void => {
  const hello = { ...testHello, ...(proof !== undefined && { proof }) }
  socket.send(encodeMessage([{ name: 'HELLO', streamId: 0, payload: encodeHello(hello) }]))
}

const proofFor = (nonce: Uint8Array, text = key) =>
  tunnelKey(text).prove({ nonce, backendName: 'box', instanceId: testHello.instanceId })

describe('a stranger', () => {
  test('gets a new nonce each time, and nothing else before it has proved the key', async () => {
    const gateway = await enrolledGateway({ tunnelKeys: [key] })
    const [one, two] = [await stranger(gateway), await stranger(gateway)]
    expect([one.challenge?.name, two.challenge?.name]).toEqual(['CHALLENGE', 'CHALLENGE'])
    expect(one.nonce).toHaveLength(32)
    expect(one.nonce).not.toEqual(two.nonce)
    expect(gateway.registry.backends()).toEqual([])
  })

  test('is let in by the right proof, and not by the same one a second time', async () => {
    const gateway = await enrolledGateway({ tunnelKeys: [key] })
    const first = await stranger(gateway)
    const proof = await proofFor(first.nonce)
    sendHello(first.socket, proof)
    await until(() => gateway.registry.backends().length === 1, 'it is let in')

    const second = await stranger(gateway)
    sendHello(second.socket, proof)
    expect(await second.closed).toEqual([
      4001,
      'the proof of the pre-shared key is missing or wrong',
    ])
    expect(first.socket.readyState).toBe(WebSocket.OPEN)
  })

  test('cannot use the proof of another name', async () => {
    const gateway = await enrolledGateway({ tunnelKeys: [key] })
    const other = await stranger(gateway, 'other')
    sendHello(other.socket, await proofFor(other.nonce))
    expect(await other.closed).toMatchObject({ 0: 4001 })
  })

  test.each([
    ['says HELLO without a proof', (socket: WebSocket) => sendHello(socket), 4001],
    ['makes one up', (socket: WebSocket) => sendHello(socket, 'A'.repeat(43)), 4001],
    ['sends something else first', (socket: WebSocket) => socket.send(Buffer.alloc(8, 1)), 4002],
  ])('that %s is closed', async (_, act, code) => {
    const gateway = await enrolledGateway({ tunnelKeys: [key] })
    const { socket, closed } = await stranger(gateway)
    act(socket)
    expect(await closed).toMatchObject({ 0: code })
  })

  test('that says nothing is closed when the time for a handshake is over', async () => {
    const timing = { ...fastTiming, handshakeMs: 50 }
    const gateway = await enrolledGateway({ tunnelKeys: [key], timing })
    expect(await (await stranger(gateway)).closed).toMatchObject({ 0: 4008 })
  })

  test('in a crowd keeps nobody out: the oldest of 64 makes room', async () => {
    const gateway = await enrolledGateway({ tunnelKeys: [key] })
    const crowd = await Promise.all(Array.from({ length: 64 }, () => stranger(gateway)))
    await dialWith(gateway, key).tunnel.connected
    const gone = await Promise.race(crowd.map(({ closed }) => closed))
    expect(gone).toEqual([1001, 'too many backends are connecting at once'])
    const open = crowd.filter(({ socket }) => socket.readyState === WebSocket.OPEN)
    expect(open).toHaveLength(63)
  })

  test('is closed with the gateway', async () => {
    const gateway = await enrolledGateway({ tunnelKeys: [key] })
    const { closed } = await stranger(gateway)
    gateway.registry.close()
    expect(await closed).toMatchObject({ 0: 1001 })
  })

  test.each(['a b', 'a/b', 'x'.repeat(65)])('with the bad name %j is told', async (name) => {
    const gateway = await enrolledGateway({ tunnelKeys: [key] })
    const socket = new WebSocket(gateway.url, ['burrow.1'], { headers: { 'burrow-backend': name } })
    const [error] = await once(socket, 'error')
    expect(String(error)).toContain('401')
  })
})
