import { describe, expect, it } from 'vitest'
import { silentLog } from '../../support/silent-log.ts'
import { BackendSession } from '../../../shared/tunnel/backend-session.ts'
import { closeCodes } from '../../../shared/tunnel/error.ts'
import type { OpenRequest } from '../../../shared/tunnel/exchange.ts'
import {
  acceptFrame,
  encodeMessage,
  windowFrame,
  type Frame,
  type FrameName,
} from '../../../shared/tunnel/frame.ts'
import { GatewaySession } from '../../../shared/tunnel/gateway-session.ts'
import { encodeHello, encodeWelcome } from '../../../shared/tunnel/hello.ts'
import { limits } from '../../../shared/tunnel/limits.ts'
import { encodeEnd, encodeHead, encodeOpen, resetFrame } from '../../../shared/tunnel/message.ts'
import { RawPeer, testHello } from '../../support/tunnel-memory.ts'

const turn = () => new Promise((resolve) => setTimeout(resolve, 2))

const frame = (
  name: FrameName,
  streamId: number,
  payload: Uint8Array = new Uint8Array(0),
): Frame => ({
  name,
  streamId,
  payload,
})

const head = encodeHead({ status: 200, headers: new Headers() })

const request: OpenRequest = {
  requestId: 'r',
  method: 'POST',
  path: '/',
  headers: new Headers(),
  body: new Uint8Array(10),
}

const open = (streamId: number, hasBody = true): Frame =>
  frame('OPEN', streamId, encodeOpen({ ...request, hasBody }))

const welcome = frame(
  'WELCOME',
  0,
  encodeWelcome({
    sessionId: 's',
    maxStreams: 2,
    windowBytes: limits.responseWindowBytes,
    connectionWindowBytes: limits.responseConnectionWindowBytes,
  }),
)

/** A gateway session whose backend is played by hand, with stream 1 open. */
const gatewayUnderTest = async () => {
  const peer = new RawPeer()
  const session = new GatewaySession(peer.transport, {
    log: silentLog,
    sessionId: 's',
    windowBytes: limits.minWindowBytes,
    onHello: () => {},
  })
  peer.connect(session)
  peer.send(frame('HELLO', 0, encodeHello(testHello)))
  const exchange = session.open(request)
  await turn()
  return { peer, session, exchange }
}

/** A backend session whose gateway is played by hand; handlers wait for ever. */
const backendUnderTest = async () => {
  const peer = new RawPeer()
  const requests: Request[] = []
  const session = new BackendSession(peer.transport, {
    log: silentLog,
    hello: { ...testHello, windowBytes: limits.minWindowBytes },
    handler: (received) => {
      requests.push(received)
      return new Promise(() => {})
    },
    onWelcome: () => {},
  })
  peer.connect(session)
  peer.send(welcome)
  await turn()
  return { peer, session, requests }
}

const fullData = (streamId: number) => frame('DATA', streamId, new Uint8Array(limits.dataBytes))

describe('a gateway closes the connection on', () => {
  it.each<[string, Frame[], string, number]>([
    ['a second HELLO', [frame('HELLO', 0, encodeHello(testHello))], 'HELLO after', 4002],
    ['WELCOME from a backend', [welcome], 'WELCOME after', 4002],
    ['OPEN from a backend', [open(1)], 'OPEN from a backend', 4002],
    ['a stream that was never opened', [acceptFrame(3)], 'never opened', 4002],
    ['ACCEPT twice', [acceptFrame(1), acceptFrame(1)], 'ACCEPT on a stream', 4002],
    ['HEAD before ACCEPT', [frame('HEAD', 1, head)], 'HEAD on a stream', 4002],
    ['HEAD twice', [acceptFrame(1), frame('HEAD', 1, head), frame('HEAD', 1, head)], 'HEAD', 4002],
    ['DATA before HEAD', [acceptFrame(1), fullData(1)], 'DATA on a stream', 4002],
    ['END before HEAD', [acceptFrame(1), frame('END', 1)], 'END on a stream', 4002],
    ['malformed HEAD', [acceptFrame(1), frame('HEAD', 1, Uint8Array.of(1, 2))], 'HEAD is', 4002],
    ['credit of 0', [windowFrame(1, 0)], 'WINDOW of 0', 4002],
    ['credit over 2^31', [windowFrame(1, 2 ** 31 - 1)], 'credit of', 4003],
    [
      'DATA over the window',
      [acceptFrame(1), frame('HEAD', 1, head), fullData(1), frame('DATA', 1, Uint8Array.of(1))],
      '1 bytes of DATA more than the credit',
      4003,
    ],
  ])('%s', async (_, frames, reason, code) => {
    const { peer, session, exchange } = await gatewayUnderTest()
    for (const each of frames) peer.send(each)
    expect(peer.transport.closedWith).toEqual({ code, reason: expect.stringContaining(reason) })
    expect(await session.closed).toMatchObject({ code, by: 'us' })
    expect(await exchange.settled).toMatchObject({ errorCode: 'CONNECTION_LOST' })
  })

  it('anything but HELLO at first', async () => {
    const peer = new RawPeer()
    const session = new GatewaySession(peer.transport, {
      log: silentLog,
      sessionId: 's',
      onHello: () => {},
    })
    peer.connect(session)
    peer.send(acceptFrame(1))
    expect(await session.closed).toMatchObject({ code: 4002, reason: 'ACCEPT before HELLO' })
  })

  it('control frames that pile up at a peer which does not read', async () => {
    const { peer, session } = await gatewayUnderTest()
    peer.transport.bufferedBytes = limits.transportHighWaterBytes + 1
    const pings = encodeMessage(Array(512).fill(frame('PING', 0, new Uint8Array(8))))
    for (let i = 0; i < 40; i++) peer.sendBytes(pings)
    expect(await session.closed).toMatchObject({ code: closeCodes.STALLED, by: 'us' })
  })
})

describe('a gateway drops', () => {
  const late = [
    acceptFrame(1),
    frame('HEAD', 1, head),
    fullData(1),
    frame('END', 1),
    windowFrame(1, 1),
  ]

  it('late frames of a stream that has ended', async () => {
    const { peer, session, exchange } = await gatewayUnderTest()
    peer.send(resetFrame(1, { code: 'REFUSED', message: 'full' }))
    peer.send(...late)
    expect(await exchange.settled).toMatchObject({ outcome: 'failed', errorCode: 'REFUSED' })
    expect([session.openStreams, peer.transport.closedWith]).toEqual([0, undefined])
  })

  it('the answer of a stream that it has cancelled, until its END', async () => {
    const { peer, session, exchange } = await gatewayUnderTest()
    exchange.cancel('enough')
    peer.send(acceptFrame(1), frame('HEAD', 1, head), fullData(1))
    expect(session.openStreams).toBe(1)
    const usage = { promptTokens: 1, completionTokens: 2 }
    peer.send(frame('END', 1, encodeEnd({ usage })))
    expect(await exchange.settled).toEqual({ outcome: 'cancelled', usage, isFinal: true })
  })
})

describe('whether a request may have run', () => {
  it.each<[string, Frame[], boolean]>([
    ['REFUSED', [resetFrame(1, { code: 'REFUSED', message: '' })], false],
    ['OVERLOADED', [resetFrame(1, { code: 'OVERLOADED', message: '' })], false],
    ['INTERNAL', [resetFrame(1, { code: 'INTERNAL', message: '' })], true],
    ['ACCEPT and REFUSED', [acceptFrame(1), resetFrame(1, { code: 'REFUSED', message: '' })], true],
    [
      'END with REFUSED',
      [frame('END', 1, encodeEnd({ error: { code: 'REFUSED', message: '' } }))],
      true,
    ],
  ])('after %s', async (_, frames, mayHaveRun) => {
    const { peer, exchange } = await gatewayUnderTest()
    peer.send(...frames)
    await expect(exchange.head).rejects.toMatchObject({ mayHaveRun })
  })

  it('after a connection that was lost with OPEN sent', async () => {
    const { session, exchange } = await gatewayUnderTest()
    session.transportClosed(1006, '')
    await expect(exchange.head).rejects.toMatchObject({ code: 'CONNECTION_LOST', mayHaveRun: true })
  })
})

describe('a backend closes the connection on', () => {
  it.each<[string, Frame[], string, number]>([
    ['a second WELCOME', [welcome], 'WELCOME after', 4002],
    ['HEAD from a gateway', [open(1), frame('HEAD', 1, head)], 'HEAD from a gateway', 4002],
    ['a stream that was never opened', [frame('END', 5)], 'never opened', 4002],
    ['an id that does not ascend', [open(5), open(3)], 'OPEN of stream 3', 4002],
    ['the same id twice', [open(5), open(5)], 'OPEN of stream 5', 4002],
    ['malformed OPEN', [frame('OPEN', 1, Uint8Array.of(1, 2))], 'OPEN is malformed', 4002],
    ['DATA without a body', [open(1, false), fullData(1)], 'DATA after END', 4002],
    ['DATA after END', [open(1), frame('END', 1), fullData(1)], 'DATA after END', 4002],
    ['END twice', [open(1), frame('END', 1), frame('END', 1)], 'END after END', 4002],
    ['DATA over the window', [open(1), fullData(1), fullData(1)], 'more than the credit', 4003],
  ])('%s', async (_, frames, reason, code) => {
    const { peer, session, requests } = await backendUnderTest()
    for (const each of frames) peer.send(each)
    expect(await session.closed).toEqual({
      code,
      reason: expect.stringContaining(reason),
      by: 'us',
    })
    expect(requests.every(({ signal }) => signal.aborted)).toBe(true)
  })
})

describe('a backend', () => {
  it('accepts what it admits, and refuses what is over its number of streams', async () => {
    const { peer, requests } = await backendUnderTest()
    peer.send(open(1), open(3), open(7))
    await turn()
    expect(peer.frames.map(({ name, streamId }) => [name, streamId])).toEqual([
      ['HELLO', 0],
      ['ACCEPT', 1],
      ['ACCEPT', 3],
      ['RESET', 7],
    ])
    expect(requests).toHaveLength(2)
  })

  it('drops late frames of ids that it has refused or that were never used', async () => {
    const { peer, session } = await backendUnderTest()
    peer.send(open(7, false))
    peer.send(fullData(5), frame('END', 5), windowFrame(3, 1))
    peer.send(resetFrame(5, { code: 'CANCEL', message: '' }))
    await turn()
    expect([session.openStreams, peer.transport.closedWith]).toEqual([1, undefined])
  })

  it('answers PING at once with the same bytes', async () => {
    const { peer } = await backendUnderTest()
    const payload = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)
    peer.send(frame('PING', 0, payload))
    await turn()
    expect(peer.frames.at(-1)).toEqual({ name: 'PONG', streamId: 0, payload })
  })

  it('sends control ahead of data, and gives every stream its turn', async () => {
    const peer = new RawPeer()
    const session = new BackendSession(peer.transport, {
      log: silentLog,
      hello: testHello,
      // One chunk: a Response made of bytes hands them out in pieces of its runtime's choice.
      handler: async () => new Response(ReadableStream.from([new Uint8Array(40_000)])),
      onWelcome: () => {},
    })
    peer.connect(session)
    peer.send(welcome)
    await turn()
    peer.transport.bufferedBytes = limits.transportHighWaterBytes + 1
    peer.send(open(1, false), open(3, false))
    await turn()
    peer.send(frame('PING', 0, new Uint8Array(8)))
    peer.frames.length = 0
    peer.transport.bufferedBytes = 0
    peer.send(frame('PING', 0, new Uint8Array(8)))
    await turn()
    expect(peer.frames.map(({ name, streamId }) => `${name} ${streamId}`)).toEqual([
      'ACCEPT 1',
      'ACCEPT 3',
      'PONG 0',
      'PONG 0',
      'HEAD 1',
      'HEAD 3',
      'DATA 1',
      'DATA 3',
      'DATA 1',
      'DATA 3',
      'DATA 1',
      'DATA 3',
      'END 1',
      'END 3',
    ])
  })
})
