/** The gateway's end of one connection: takes HELLO, says WELCOME, opens streams. */
import { closeCodes, TunnelError } from './error.ts'
import type { Exchange, OpenRequest } from './exchange.ts'
import type { Frame } from './frame.ts'
import { GatewayStream } from './gateway-stream.ts'
import { limits } from './limits.ts'
import { Link, type Closed, type LinkOptions } from './link.ts'
import { encodeOpen, encodeWelcome, parseHello, type Hello, type Welcome } from './message.ts'
import { RefusedExchange } from './refused-exchange.ts'
import type { Transport } from './transport.ts'

export type GatewaySessionOptions = LinkOptions & {
  readonly sessionId: string
  /** Streams at once, unless the backend wants fewer. Default and most: `limits.streams`. */
  readonly maxStreams?: number
  /** Initial credit of each response body. */
  readonly windowBytes?: number
  /** The first stream's id, odd. Default 1. */
  readonly firstStreamId?: number
  /** The backend has said HELLO; the session opens streams from now on. */
  readonly onHello: (hello: Hello) => void
}

export class GatewaySession {
  readonly sessionId: string
  /** Resolves when the connection has ended, for whatever reason. */
  readonly closed: Promise<Closed>
  readonly #closed = Promise.withResolvers<Closed>()
  readonly #options: GatewaySessionOptions
  readonly #link: Link
  readonly #streams = new Map<number, GatewayStream>()
  readonly #windowBytes: number
  #hello: Hello | undefined
  #maxStreams = 0
  #lastStreamId: number

  constructor(transport: Transport, options: GatewaySessionOptions) {
    this.sessionId = options.sessionId
    this.closed = this.#closed.promise
    this.#options = options
    this.#lastStreamId = (options.firstStreamId ?? 1) - 2
    this.#windowBytes = options.windowBytes ?? limits.responseWindowBytes
    this.#link = new Link(
      transport,
      {
        frame: (frame) => this.#onFrame(frame),
        hasStreams: () => this.#streams.size > 0,
        closed: (closed) => this.#onClosed(closed),
      },
      false,
      options,
    )
  }

  /** Streams that count against `maxStreams`, cancelled ones until they have settled. */
  get openStreams(): number {
    return this.#streams.size
  }

  /** Whether `open` would be admitted on this side. */
  get hasRoom(): boolean {
    return !this.#link.isClosed && this.openStreams < this.#maxStreams && this.#hasIds
  }

  /** One message from the transport. */
  receive(message: Uint8Array): void {
    this.#link.receive(message)
  }

  /** The transport is gone. */
  transportClosed(code: number, reason: string): void {
    this.#link.transportClosed(code, reason)
  }

  /** Ends the connection and all its streams. Idempotent. */
  close(code: number, reason: string): void {
    this.#link.close(code, reason)
  }

  /** Sends a request. Never throws: what cannot be sent is an exchange that has failed. */
  open(request: OpenRequest): Exchange {
    try {
      return this.#open(request)
    } catch (error) {
      if (error instanceof TunnelError) return new RefusedExchange(error.code, error.message)
      throw error
    }
  }

  #open({ body, ...head }: OpenRequest): GatewayStream {
    if (this.#link.isClosed || !this.#hello) {
      throw new TunnelError('CONNECTION_LOST', 'the backend is not connected')
    }
    if (!this.hasRoom) throw new TunnelError('OVERLOADED', 'the backend has no free stream')
    const bodyBytes = body?.byteLength ?? 0
    if (bodyBytes > limits.bodyBytes) {
      throw new TunnelError('TOO_LARGE', `the request's body is over ${limits.bodyBytes} bytes`)
    }
    const open = encodeOpen({ ...head, hasBody: bodyBytes > 0 })
    const streamId = this.#lastStreamId + 2
    const stream = new GatewayStream(open, body, {
      streamId,
      outbox: this.#link.outbox,
      timing: this.#link.timing,
      sendWindowBytes: this.#hello.windowBytes,
      receiveWindowBytes: this.#windowBytes,
      closed: () => this.#onStreamClosed(streamId),
    })
    this.#lastStreamId = streamId
    this.#streams.set(streamId, stream)
    return stream
  }

  #onStreamClosed(streamId: number): void {
    this.#streams.delete(streamId)
    if (!this.#hasIds && this.#streams.size === 0) {
      this.#link.close(closeCodes.GOING_AWAY, 'the stream ids are used up')
    }
  }

  get #hasIds(): boolean {
    return this.#lastStreamId + 2 <= limits.maxStreamId
  }

  #onFrame(frame: Frame): void {
    if (!this.#hello) {
      this.#onHello(frame)
      return
    }
    if (frame.streamId === 0) {
      throw new TunnelError('PROTOCOL_ERROR', `${frame.name} after the handshake`)
    }
    if (frame.streamId > this.#lastStreamId) {
      throw new TunnelError('PROTOCOL_ERROR', `${frame.name} on a stream that was never opened`)
    }
    // A stream that is over may still get frames that were under way.
    this.#streams.get(frame.streamId)?.receive(frame)
  }

  #onHello(frame: Frame): void {
    if (frame.name !== 'HELLO') {
      throw new TunnelError('PROTOCOL_ERROR', `${frame.name} before HELLO`)
    }
    const hello = parseHello(frame.payload)
    const { maxStreams = limits.streams, sessionId } = this.#options
    const welcome: Welcome = {
      sessionId,
      maxStreams: Math.min(maxStreams, hello.maxStreams, limits.streams),
      windowBytes: this.#windowBytes,
    }
    this.#hello = hello
    this.#maxStreams = welcome.maxStreams
    this.#link.handshakeDone()
    this.#link.outbox.control({ name: 'WELCOME', streamId: 0, payload: encodeWelcome(welcome) })
    this.#options.onHello(hello)
  }

  #onClosed(closed: Closed): void {
    for (const stream of this.#streams.values()) stream.connectionLost(closed.reason)
    this.#closed.resolve(closed)
  }
}
