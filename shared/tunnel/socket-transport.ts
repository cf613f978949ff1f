/** A transport over any WebSocket that tells when a message has been written, as `ws` does. */
import { closeCodes } from './error.ts'
import type { Transport } from './transport.ts'

/** The part of a `ws` WebSocket that a tunnel needs. */
export interface MessageSocket {
  readonly bufferedAmount: number
  send(data: Uint8Array, done: (error?: Error | null) => void): void
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
}

/** Node's; other runtimes may lack it. */
const { setImmediate } = globalThis as { setImmediate?: (callback: () => void) => unknown }

/** How long a peer may take to answer the closing handshake before the socket is cut. */
const closeGraceMs = 3_000

const maxReasonBytes = 123 // RFC 6455 section 5.5: a control frame holds 125 bytes, 2 are the code

/** The reason, cut to what a close frame holds, at a character's border. */
const closeReason = (reason: string): string => {
  const bytes = new Uint8Array(maxReasonBytes)
  const { read } = new TextEncoder().encodeInto(reason, bytes)
  return reason.slice(0, read)
}

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
    else session.close(closeCodes.PROTOCOL_ERROR, 'a text message')
  })
  socket.on('close', (code, reason) => session.transportClosed(code, reason.toString()))
}
