/**
 * Whole sessions against a peer that mostly speaks the protocol, and sometimes anything at all. A
 * session may close, but only with the peer's fault as its reason, and then everything settles.
 */
import assert from 'node:assert/strict'
import { BackendSession } from '../../../shared/tunnel/backend-session.ts'
import { encodeGoaway, encodeStatus, encodeSync } from '../../../shared/tunnel/control-message.ts'
import { closeCodes } from '../../../shared/tunnel/error.ts'
import type { Exchange, OpenRequest, TunnelHandler } from '../../../shared/tunnel/exchange.ts'
import {
  acceptFrame,
  encodeMessage,
  windowFrame,
  type Frame,
} from '../../../shared/tunnel/frame.ts'
import { GatewaySession } from '../../../shared/tunnel/gateway-session.ts'
import { resetFrame } from '../../../shared/tunnel/message.ts'
import { encodeUsage } from '../../../shared/tunnel/usage-message.ts'
import { silentLog } from '../silent-log.ts'
import {
  connectionFrames,
  dataFrame,
  endFrame,
  frame,
  headFrame,
  helloFrame,
  openFrame,
  testPost,
  testUsage,
  welcomeFrame,
} from '../tunnel-frames.ts'
import { MemoryTransport, testHello, turns } from '../tunnel-memory.ts'
import { mutate, mutateJson, oneOf, pick, split, type Random } from './mutate.ts'

const errorCodesSent = ['CANCEL', 'REFUSED', 'INTERNAL', 'NO_ERROR', 'DRAINING'] as const

const goaway = (lastStreamId: number): Frame =>
  frame(
    'GOAWAY',
    0,
    encodeGoaway({ code: 'DRAINING', lastStreamId, deadlineMs: 1_000, message: 'bye' }),
  )

const anyFrame = (random: Random, id: number): Frame => {
  const frame = someFrame(random, id)
  return random() < 0.6 ? frame : { ...frame, payload: mutateJson(frame.payload, random) }
}

const someFrame = (random: Random, id: number): Frame =>
  oneOf(random, [
    acceptFrame(id),
    headFrame(id),
    headFrame(id, 101),
    dataFrame(id, 1 + pick(random, 300)),
    endFrame(id),
    endFrame(id, { usage: testUsage }),
    endFrame(id, { error: { code: 'INTERNAL', message: 'x' } }),
    openFrame(id),
    resetFrame(id, { code: oneOf(random, errorCodesSent), message: 'x' }),
    windowFrame(id, 1 + pick(random, 70_000)),
    windowFrame(0, 1 + pick(random, 70_000)),
    frame('SYNC', 0, encodeSync([id])),
    goaway(id),
    ...Object.values(connectionFrames),
  ])

/** The frames of one stream as a good backend sends them, with a cut anywhere. */
const answer = (random: Random, id: number): Frame[] => {
  const data = Array.from({ length: pick(random, 6) }, () =>
    dataFrame(id, 1 + pick(random, random() < 0.1 ? 16_000 : 300)),
  )
  const frames = [acceptFrame(id), headFrame(id), ...data, endFrame(id, { usage: testUsage })]
  return random() < 0.8 ? frames : frames.slice(0, pick(random, frames.length))
}

const ask = (random: Random, id: number): Frame[] => {
  if (random() < 0.1) return [openFrame(id, { method: 'GET', upgrade: 'websocket' })]
  const data = Array.from({ length: pick(random, 4) }, () => dataFrame(id, 1 + pick(random, 300)))
  const frames = [openFrame(id), ...data, endFrame(id), windowFrame(id, 1 + pick(random, 9_000))]
  return random() < 0.8 ? frames : frames.slice(0, 1 + pick(random, frames.length))
}

const extras = (random: Random, id: number): Frame[] =>
  random() < 0.3
    ? [
        oneOf(random, [
          frame('PING', 0, new Uint8Array(8)),
          windowFrame(0, 1 + pick(random, 9_000)),
          windowFrame(id, 1 + pick(random, 9_000)),
          resetFrame(id, { code: 'CANCEL', message: '' }),
        ]),
      ]
    : []

const fromBackend = (random: Random, id: number): Frame[] => {
  const usage = { requestId: 'r', instanceId: 'i', usage: testUsage, isFinal: random() < 0.5 }
  const more = oneOf(random, [
    frame('USAGE', 0, encodeUsage(usage)),
    frame('STATUS', 0, encodeStatus({ running: 1, waiting: 0, tokensInFlight: pick(random, 99) })),
  ])
  return [...answer(random, id), ...extras(random, id), more]
}

/** Sends a list of frames as messages, some of them broken. */
const deliver = (frames: readonly Frame[], receive: (m: Uint8Array) => void, random: Random) => {
  let at = 0
  while (at < frames.length) {
    const size = 1 + pick(random, 6)
    const message = encodeMessage(frames.slice(at, at + size))
    at += size
    const fate = random()
    if (fate < 0.97) receive(message)
    else if (fate < 0.99) receive(mutate(message, random))
    else for (const piece of split(message, random)) receive(piece)
  }
}

/** Only these may end a session here: never 1011, which is a defect of our own. */
const peersFault: readonly number[] = [
  closeCodes.PROTOCOL_ERROR,
  closeCodes.FLOW_CONTROL,
  closeCodes.ENHANCE_CALM,
  closeCodes.STALLED,
  closeCodes.NORMAL,
]

const watch = ({ closed }: { readonly closed: Promise<unknown> }) => {
  const state = { isOpen: true }
  void closed.then(() => {
    state.isOpen = false
  })
  return state
}

const randomRequest = (random: Random): OpenRequest =>
  random() < 0.1
    ? { ...testPost, method: 'GET', upgrade: 'websocket', body: new ReadableStream() }
    : { ...testPost, body: random() < 0.5 ? null : new Uint8Array(pick(random, 60_000)) }

const use = (exchange: Exchange, random: Random): void => {
  const mood = random()
  if (mood < 0.6) void exchange.body.pipeTo(new WritableStream()).catch(() => {})
  else if (mood < 0.8) void turns(pick(random, 3)).then(() => exchange.cancel('enough'))
}

const fuzzGateway = async (random: Random): Promise<number> => {
  const session = new GatewaySession(new MemoryTransport(), {
    log: silentLog,
    sessionId: 's',
    onHello: () => {},
  })
  const receive = (message: Uint8Array) => session.receive(message)
  const exchanges: Exchange[] = []
  let count = 1
  receive(encodeMessage([helloFrame]))
  const state = watch(session)
  while (state.isOpen && count < 2_000) {
    const exchange = session.open(randomRequest(random))
    exchanges.push(exchange)
    use(exchange, random)
    const last = 2 * exchanges.length - 1
    const id = random() < 0.9 ? last : 1 + 2 * pick(random, exchanges.length)
    await turns(1)
    const frames = random() < 0.96 ? fromBackend(random, id) : [anyFrame(random, id)]
    count += frames.length
    deliver(frames, receive, random)
  }
  session.close(closeCodes.NORMAL, 'enough')
  const { code, reason } = await session.closed
  assert(peersFault.includes(code), `the gateway closed with ${code}: ${reason}`)
  await Promise.all(exchanges.map(({ settled }) => settled))
  assert.equal(session.openStreams, 0)
  return count
}

const randomHandler =
  (random: Random): TunnelHandler =>
  async (request, exchange) => {
    exchange.reportUsage(testUsage)
    if (exchange.upgradedBody) {
      return { status: 101, headers: new Headers(), body: exchange.upgradedBody }
    }
    const mood = random()
    if (mood < 0.1) throw new Error('as it happens')
    if (mood < 0.6) return new Response(await request.bytes())
    if (mood < 0.8) return new Response('at once')
    return new Response(request.body)
  }

const fuzzBackend = async (random: Random): Promise<number> => {
  const session = new BackendSession(new MemoryTransport(), {
    log: silentLog,
    hello: testHello,
    handler: randomHandler(random),
    onWelcome: () => {},
    status: () => ({ running: pick(random, 9), waiting: 0, tokensInFlight: 0 }),
    beforeEnd: async () => turns(pick(random, 2)),
  })
  const receive = (message: Uint8Array) => session.receive(message)
  let count = 1
  receive(encodeMessage([welcomeFrame]))
  const state = watch(session)
  for (let id = 1; state.isOpen && count < 2_000; id += 2) {
    const target = random() < 0.96 ? id : 1 + 2 * pick(random, 1 + (id - 1) / 2)
    const frames =
      random() < 0.96 ? [...ask(random, id), ...extras(random, target)] : [anyFrame(random, target)]
    count += frames.length
    deliver(frames, receive, random)
    await turns(1)
  }
  session.close(closeCodes.NORMAL, 'enough')
  const { code, reason } = await session.closed
  assert(peersFault.includes(code), `the backend closed with ${code}: ${reason}`)
  await session.settled
  assert.equal(session.openStreams, 0)
  return count
}

/** Runs at least `numFrames`; returns how many. @throws AssertionError on a defect */
export const fuzzSessions = async (random: Random, numFrames: number): Promise<number> => {
  let count = 0
  while (count < numFrames) {
    count += random() < 0.5 ? await fuzzGateway(random) : await fuzzBackend(random)
  }
  return count
}
