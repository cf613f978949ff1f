/** A backend over a real tunnel that answers each OPEN with frames of the test's own. */
import { once } from 'node:events'
import { onTestFinished } from 'vitest'
import { WebSocket } from 'ws'
import { TokenMint } from '../../backend/tunnel/token.ts'
import type { Credential } from '../../gateway/auth/credential.ts'
import { acceptFrame, decodeMessage, encodeMessage, type Frame } from '../../shared/tunnel/frame.ts'
import { protocolName, tunnelPath } from '../../shared/tunnel/handshake.ts'
import { encodeHello } from '../../shared/tunnel/hello.ts'
import {
  encodeEnd,
  encodeHead,
  parseOpen,
  resetFrame,
  type Open,
} from '../../shared/tunnel/message.ts'
import type { ErrorCode } from '../../shared/tunnel/error.ts'
import { testHello } from '../support/tunnel-memory.ts'

/** What it does with a stream: frames to send, or its connection's end. */
export type Answer = readonly Frame[] | 'crash'
export type AnswerTo = (streamId: number, open: Open) => Answer

/** The OPENs that it got. */
export const connectFrames = async (
  gatewayUrl: string,
  secret: Credential,
  answer: AnswerTo,
): Promise<readonly Open[]> => {
  const token = await new TokenMint({ enrolmentSecret: secret.reveal() }).mint()
  const socket = new WebSocket(gatewayUrl.replace('http', 'ws') + tunnelPath, [protocolName], {
    headers: { authorization: `Bearer ${token}` },
    perMessageDeflate: false,
  })
  onTestFinished(() => socket.terminate())
  await once(socket, 'open')
  const opens: Open[] = []
  const welcome = Promise.withResolvers<void>()
  const send = (frames: readonly Frame[]) => socket.send(encodeMessage(frames))
  socket.on('message', (message) => {
    if (!(message instanceof Uint8Array)) return
    for (const { name, streamId, payload } of decodeMessage(message)) {
      if (name === 'WELCOME') welcome.resolve()
      if (name === 'PING') send([{ name: 'PONG', streamId: 0, payload }])
      if (name !== 'OPEN') continue
      const open = parseOpen(payload)
      opens.push(open)
      const frames = answer(streamId, open)
      if (frames === 'crash') socket.terminate()
      else send(frames)
    }
  })
  const hello = { ...testHello, instanceId: crypto.randomUUID(), models: ['tiger'] }
  send([{ name: 'HELLO', streamId: 0, payload: encodeHello(hello) }])
  await welcome.promise
  return opens
}

export const refusing =
  (code: ErrorCode): AnswerTo =>
  (streamId) => [resetFrame(streamId, { code, message: 'not now' })]

/** Takes the request and stops at once. */
export const failingAfterAccept =
  (code: ErrorCode): AnswerTo =>
  (streamId) => [acceptFrame(streamId), resetFrame(streamId, { code, message: 'not now' })]

/** 200 and `{}`. */
export const succeeding: AnswerTo = (streamId) => {
  const headers = new Headers({ 'content-type': 'application/json' })
  const usage = { promptTokens: 1, completionTokens: 1 }
  return [
    acceptFrame(streamId),
    { name: 'HEAD', streamId, payload: encodeHead({ status: 200, headers }) },
    { name: 'DATA', streamId, payload: new TextEncoder().encode('{}') },
    { name: 'END', streamId, payload: encodeEnd({ usage }) },
  ]
}
