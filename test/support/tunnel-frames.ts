/** One valid frame of each kind, for peers that are played by hand. */
import type { OpenRequest } from '../../shared/tunnel/exchange.ts'
import {
  encodeAuth,
  encodeGoaway,
  encodeStatus,
  encodeSync,
} from '../../shared/tunnel/control-message.ts'
import type { Frame, FrameName } from '../../shared/tunnel/frame.ts'
import { encodeHello, encodeWelcome, type Welcome } from '../../shared/tunnel/hello.ts'
import { limits } from '../../shared/tunnel/limits.ts'
import {
  encodeEnd,
  encodeHead,
  encodeOpen,
  type End,
  type Open,
} from '../../shared/tunnel/message.ts'
import { encodeUsage, encodeUsageAck } from '../../shared/tunnel/usage-message.ts'
import { testHello } from './tunnel-memory.ts'

const empty = new Uint8Array(0)

export const frame = (name: FrameName, streamId: number, payload: Uint8Array = empty): Frame => ({
  name,
  streamId,
  payload,
})

export const testWelcome: Welcome = {
  sessionId: 's',
  maxStreams: 2,
  windowBytes: limits.responseWindowBytes,
  connectionWindowBytes: limits.responseConnectionWindowBytes,
}

export const testUsage = { promptTokens: 3, completionTokens: 4 }

/** A request with a body of 10 bytes. */
export const testPost: OpenRequest = {
  requestId: 'r',
  method: 'POST',
  path: '/',
  headers: new Headers(),
  body: new Uint8Array(10),
}

export const helloFrame = frame('HELLO', 0, encodeHello(testHello))
export const welcomeFrame = frame('WELCOME', 0, encodeWelcome(testWelcome))

export const openFrame = (streamId: number, part: Partial<Open> = {}): Frame => {
  const { body: _, ...request } = testPost
  return frame('OPEN', streamId, encodeOpen({ ...request, hasBody: true, ...part }))
}

export const headFrame = (streamId: number, status = 200): Frame =>
  frame('HEAD', streamId, encodeHead({ status, headers: new Headers() }))

export const dataFrame = (streamId: number, bytes = 1): Frame =>
  frame('DATA', streamId, new Uint8Array(bytes))

export const endFrame = (streamId: number, end: End = {}): Frame =>
  frame('END', streamId, encodeEnd(end))

/** A valid payload for each frame that belongs to the connection, besides WINDOW. */
export const connectionFrames: Partial<Record<FrameName, Frame>> = {
  HELLO: helloFrame,
  WELCOME: welcomeFrame,
  AUTH: frame('AUTH', 0, encodeAuth('token')),
  CHALLENGE: frame('CHALLENGE', 0, new Uint8Array(32)),
  USAGE: frame(
    'USAGE',
    0,
    encodeUsage({ requestId: 'r', instanceId: 'i', usage: testUsage, isFinal: true }),
  ),
  USAGE_ACK: frame('USAGE_ACK', 0, encodeUsageAck(['r'])),
  PING: frame('PING', 0, new Uint8Array(8)),
  PONG: frame('PONG', 0, new Uint8Array(8)),
  GOAWAY: frame(
    'GOAWAY',
    0,
    encodeGoaway({
      code: 'DRAINING',
      lastStreamId: limits.maxStreamId,
      deadlineMs: 1_000,
      message: 'bye',
    }),
  ),
  STATUS: frame('STATUS', 0, encodeStatus({ running: 0, waiting: 0, tokensInFlight: 0 })),
  SYNC: frame('SYNC', 0, encodeSync([])),
}
