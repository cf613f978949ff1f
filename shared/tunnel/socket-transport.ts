/** A transport over any WebSocket that tells when a message has been written, as `ws` does. */
import { closeReason } from './close-reason.ts'
import { closeCodes } from './error.ts'
import { textPing, textPong } from './handshake.ts'
import type { Transport } from './transport.ts'

/** The part of a `ws` WebSocket that a tunnel needs. */
export interface MessageSocket {
  readonly bufferedAmount: number
  send(data: Uint8Array, done: (error?: Error | null) => void): void
  send(data: string): void
  close(code: number, reason: string): void
  terminate(): void
  once(event: 'close', listener: () => void): unknown
  on(event: 'message', listener: (data: unknown, isBinary: boolean) => void): unknown
  on(event: 'close', listener: (code: number, reason: { toString(): string }) => void): unknown
}

/** What a transport's messages are fed to: either session. */
export interface MessageSink {
  receive(message: Uint8Array): void
  transportClosed(code: number, reason: string): void
  close(code: number, reason: string): void
  /** The peer's runtime has answered a text ping. */
  textPong?(): void
}

/** Node's; other runtimes may lack it. */
const { setImmediate } = globalThis as { setImmediate?: (callback: () => void) => unknown }

/** How long a peer may take to answer the closing handshake before the socket is cut. */
const closeGraceMs = 3_000

/** Wraps an open socket. */
export const socketTransport = (socket: MessageSocket): Transport => {
  let closing = false
  return {
    get bufferedBytes() {
      return socket.bufferedAmount
    },
    send(message, sent) {
      socket.send(message, (error) => {
        if (!error) sent()
      })
    },
    ...(setImmediate && { defer: (callback: () => void) => void setImmediate(callback) }),
    textPing() {
      socket.send(textPing)
    },
    close(code, reason) {
      if (closing) return
      closing = true
      // A half-open peer never answers: then the socket is cut.
      const cut = setTimeout(() => socket.terminate(), closeGraceMs)
      socket.once('close', () => clearTimeout(cut))
      socket.close(code, closeReason(reason))
    },
  }
}

/** Feeds what an open socket receives to its session. The caller handles the socket's errors. */
export const feedSession = (socket: MessageSocket, session: MessageSink): void => {
  socket.on('message', (data, isBinary) => {
    if (isBinary && data instanceof Uint8Array) session.receive(data)
    else if (session.textPong && String(data) === textPong) session.textPong()
    else session.close(closeCodes.PROTOCOL_ERROR, 'a text message')
  })
  socket.on('close', (code, reason) => session.transportClosed(code, reason.toString()))
}
