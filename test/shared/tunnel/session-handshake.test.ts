import { describe, expect, it } from 'vitest'
import { helloProof, isHelloProof, nonceBytes } from '../../../shared/tunnel/challenge.ts'
import { BackendSession } from '../../../shared/tunnel/backend-session.ts'
import { closeCodes } from '../../../shared/tunnel/error.ts'
import {
  GatewaySession,
  type GatewaySessionOptions,
} from '../../../shared/tunnel/gateway-session.ts'
import { parseHello, type Hello } from '../../../shared/tunnel/hello.ts'
import { rawBackend, rawGateway } from '../../support/raw-sessions.ts'
import { silentLog } from '../../support/silent-log.ts'
import { connectionFrames, frame, helloFrame, welcomeFrame } from '../../support/tunnel-frames.ts'
import { MemoryTransport, testHello, turns } from '../../support/tunnel-memory.ts'
import { get } from './exchanges.ts'

const key = 'a pre-shared key of enough characters'
const nonce = Uint8Array.from({ length: nonceBytes }, (_, i) => i)
const input = { nonce, backendName: 'box', instanceId: testHello.instanceId }

describe('the proof of a pre-shared key', () => {
  it('is the HMAC that the specification names', async () => {
    // By Python's hmac, over the bytes as SPEC.md lists them.
    expect(await helloProof(key, input)).toBe('eA8V-I7ropVaj6tA6thOLQBRirFLUG5ELbnFE_wUxrQ')
  })

  it('holds for this key, nonce, name and instance only', async () => {
    const proof = await helloProof(key, input)
    expect(await isHelloProof(key, proof, input)).toBe(true)
    const others = await Promise.all([
      isHelloProof('another key', proof, input),
      isHelloProof(key, proof, { ...input, nonce: nonce.toReversed() }),
      isHelloProof(key, proof, { ...input, backendName: 'box2' }),
      isHelloProof(key, proof, { ...input, instanceId: 'other' }),
      isHelloProof(key, '', input),
      isHelloProof(key, proof.slice(1), input),
      isHelloProof(key, `${proof.slice(1)}=`, input),
    ])
    expect(others).toEqual(others.map(() => false))
  })
})

/** Both ends, with a challenge between them. */
const challenged = async (theirKey: string) => {
  const toBackend = new MemoryTransport()
  const toGateway = new MemoryTransport()
  const ready: Hello[] = []
  const gateway = new GatewaySession(toBackend, {
    log: silentLog,
    sessionId: 's',
    challenge: {
      nonce,
      verify: ({ proof = '', instanceId }) => isHelloProof(key, proof, { ...input, instanceId }),
    },
    onHello: () => {},
    onReady: (hello) => ready.push(hello),
  })
  const backend = new BackendSession(toGateway, {
    log: silentLog,
    hello: testHello,
    handler: async () => new Response('ok'),
    prove: (theirNonce) => helloProof(theirKey, { ...input, nonce: theirNonce }),
    onWelcome: () => {},
  })
  toBackend.peer = backend
  toGateway.peer = gateway
  return { gateway, backend, ready }
}

describe('a challenge', () => {
  it('lets in who has the key', async () => {
    const { gateway, ready } = await challenged(key)
    while (ready.length === 0) await turns()
    expect(await new Response(gateway.open(get).body).text()).toBe('ok')
  })

  it('closes with 4001 on who has another', async () => {
    const { gateway, backend, ready } = await challenged('another key')
    expect(await backend.closed).toMatchObject({ code: closeCodes.AUTH, by: 'peer' })
    expect([gateway.hasRoom, gateway.hello, ready]).toEqual([false, undefined, []])
    await expect(gateway.open(get).head).rejects.toMatchObject({ mayHaveRun: false })
  })

  it('closes with 4001 on a HELLO without a proof', async () => {
    const { peer } = rawGateway({ challenge: { nonce, verify: () => true } })
    await turns()
    expect(peer.frames).toEqual([frame('CHALLENGE', 0, nonce)])
    peer.send(helloFrame)
    expect(peer.transport.closedWith?.code).toBe(closeCodes.AUTH)
  })

  it('is waited for by a backend that has a key, and answered once', async () => {
    const { peer } = rawBackend({ prove: () => 'proof' })
    await turns()
    expect(peer.frames).toEqual([])
    peer.send(frame('CHALLENGE', 0, nonce))
    await turns()
    expect(peer.frames.map(({ payload }) => parseHello(payload))).toEqual([
      { ...testHello, proof: 'proof' },
    ])
    peer.send(frame('CHALLENGE', 0, nonce))
    expect(peer.transport.closedWith?.code).toBe(closeCodes.PROTOCOL_ERROR)
  })

  it('cannot be left out by a gateway that pretends', async () => {
    const { peer } = rawBackend({ prove: () => 'proof' })
    peer.send(welcomeFrame)
    expect(peer.transport.closedWith).toEqual({ code: 4002, reason: 'WELCOME before HELLO' })
  })

  it('ends the connection when the key cannot be used', async () => {
    const failing = () => Promise.reject(new Error('no key'))
    const backend = rawBackend({ prove: failing })
    backend.peer.send(frame('CHALLENGE', 0, nonce))
    expect(await backend.session.closed).toMatchObject({ code: closeCodes.INTERNAL_ERROR })
    const gateway = rawGateway({ challenge: { nonce, verify: failing } })
    gateway.peer.send(frame('HELLO', 0, helloWithProof))
    expect(await gateway.session.closed).toMatchObject({ code: closeCodes.INTERNAL_ERROR })
  })
})

const helloWithProof = new TextEncoder().encode(JSON.stringify({ ...testHello, proof: 'p' }))

describe('HELLO', () => {
  const refusal = { code: closeCodes.AUTH, reason: 'the token does not cover the model tiny' }

  it.each<[string, GatewaySessionOptions['onHello']]>([
    ['at once', () => refusal],
    ['after a look-up', async () => refusal],
  ])('can be refused %s, with a code and a sentence', async (_, onHello) => {
    const ready: unknown[] = []
    const { peer, session } = rawGateway({ onHello, onReady: (hello) => ready.push(hello) })
    peer.send(helloFrame)
    expect(await session.closed).toEqual({ ...refusal, by: 'us' })
    await turns()
    expect([peer.frames, peer.closedWith, ready]).toEqual([[], refusal, []])
  })

  it('is welcomed before the owner is told that streams may be opened', async () => {
    const { peer, session } = rawGateway({
      onHello: async () => {},
      onReady: () => {
        session.open(get)
      },
    })
    peer.send(helloFrame)
    await turns()
    expect(peer.frames.map(({ name }) => name)).toEqual(['WELCOME', 'OPEN'])
    session.close(1000, '')
  })

  it('is the last word of a backend until WELCOME', async () => {
    const { peer } = rawGateway({ onHello: () => new Promise(() => {}) })
    peer.send(helloFrame)
    const status = connectionFrames.STATUS
    if (status) peer.send(status)
    expect(peer.transport.closedWith).toEqual({ code: 4002, reason: 'STATUS before WELCOME' })
  })

  it('welcomes nobody after the connection has ended meanwhile', async () => {
    const verdict = Promise.withResolvers<void>()
    const ready: unknown[] = []
    const { peer, session } = rawGateway({
      onHello: () => verdict.promise,
      onReady: (hello) => ready.push(hello),
    })
    peer.send(helloFrame)
    session.transportClosed(1006, 'cut')
    verdict.resolve()
    await turns()
    expect([ready, session.hasRoom]).toEqual([[], false])
  })

  it('is not sent where the gateway would have to refuse it', () => {
    const many = Array.from({ length: 256 }, (_, i) => `${'m'.repeat(200)}${i}`)
    const hello = { ...testHello, models: many }
    expect(() => rawBackend({ hello })).toThrow('HELLO is over 16384 bytes')
    const services = ['No Name']
    expect(() => rawBackend({ hello: { ...testHello, services } })).toThrow(
      'HELLO.services is malformed',
    )
  })
})
