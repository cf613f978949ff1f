/** The backend's end of one connection: says HELLO, takes WELCOME, serves the streams that are opened. */
import { closeCodes, TunnelError } from './error.ts'
import type { TunnelHandler } from './exchange.ts'
import { BackendStream } from './backend-stream.ts'
import { acceptFrame, type Frame } from './frame.ts'
import { limits } from './limits.ts'
import { Link, type Closed, type LinkOptions } from './link.ts'
import {
  encodeHello,
  parseOpen,
  parseWelcome,
  resetFrame,
  type Hello,
  type Welcome,
} from './message.ts'
import type { Transport } from './transport.ts'

export type BackendSessionOptions = LinkOptions & {
  readonly hello: Hello
  readonly handler: TunnelHandler
  /** The gateway has let us in. */
  readonly onWelcome: (welcome: Welcome) => void
}

/** How often a draining session looks whether the transport has passed its bytes on. */
const drainPollMs = 10

export class BackendSession {
  /** Resolves when the connection has ended, for whatever reason. */
  readonly closed: Promise<Closed>
  readonly #closed = Promise.withResolvers<Closed>()
  readonly #options: BackendSessionOptions
  readonly #transport: Transport
  readonly #link: Link
  readonly #streams = new Map<number, BackendStream>()
  #welcome: Welcome | undefined
  #lastStreamId = 0
  #isDraining = false

  constructor(transport: Transport, options: BackendSessionOptions) {
    this.closed = this.#closed.promise
    this.#options = options
    this.#transport = transport
    this.#link = new Link(
      transport,
      {
        frame: (frame) => this.#onFrame(frame),
        hasStreams: () => this.#streams.size > 0,
        closed: (closed) => this.#onClosed(closed),
      },
      true,
      options,
    )
    const payload = encodeHello(options.hello)
    this.#link.outbox.control({ name: 'HELLO', streamId: 0, payload })
  }

  get openStreams(): number {
    return this.#streams.size
  }

  /** One message from the transport. */
  receive(message: Uint8Array): void {
    this.#link.receive(message)
  }

  /** The transport is gone. */
  transportClosed(code: number, reason: string): void {
    this.#link.transportClosed(code, reason)
  }

  /** Ends the connection and stops all work on it. Idempotent. */
  close(code: number, reason: string): void {
    this.#link.close(code, reason)
  }

  /** Refuses new streams, gives the running ones up to `graceMs`, then closes. */
  async drain(graceMs: number): Promise<void> {
    this.#isDraining = true
    const deadline = performance.now() + graceMs
    const isQuiet = () => this.#streams.size === 0 && this.#transport.bufferedBytes === 0
    while (!this.#link.isClosed && !isQuiet() && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, drainPollMs))
    }
    this.close(closeCodes.NORMAL, 'the backend stops')
  }

  #onFrame(frame: Frame): void {
    if (!this.#welcome) {
      this.#onWelcome(frame)
    } else if (frame.streamId === 0) {
      throw new TunnelError('PROTOCOL_ERROR', `${frame.name} after the handshake`)
    } else if (frame.name === 'OPEN') {
      this.#onOpen(frame)
    } else if (frame.streamId > this.#lastStreamId) {
      throw new TunnelError('PROTOCOL_ERROR', `${frame.name} on a stream that was never opened`)
    } else {
      // A stream that is over may still get frames that were under way.
      this.#streams.get(frame.streamId)?.receive(frame)
    }
  }

  #onWelcome(frame: Frame): void {
    if (frame.name !== 'WELCOME') {
      throw new TunnelError('PROTOCOL_ERROR', `${frame.name} before WELCOME`)
    }
    this.#welcome = parseWelcome(frame.payload)
    this.#link.handshakeDone()
    this.#options.onWelcome(this.#welcome)
  }

  #onOpen({ streamId, payload }: Frame): void {
    if (streamId <= this.#lastStreamId) {
      throw new TunnelError('PROTOCOL_ERROR', `OPEN of stream ${streamId} after a higher one`)
    }
    this.#lastStreamId = streamId
    const open = parseOpen(payload)
    const refusal = this.#refusal()
    if (refusal) {
      this.#link.outbox.control(resetFrame(streamId, { code: 'REFUSED', message: refusal }))
      return
    }
    const stream = new BackendStream(open, {
      streamId,
      outbox: this.#link.outbox,
      timing: this.#link.timing,
      log: this.#link.log,
      sendWindowBytes: this.#welcome?.windowBytes ?? 0,
      receiveWindowBytes: this.#options.hello.windowBytes,
      closed: () => this.#streams.delete(streamId),
    })
    this.#streams.set(streamId, stream)
    this.#link.outbox.control(acceptFrame(streamId))
    void stream.run(this.#options.handler)
  }

  #refusal(): string | undefined {
    if (this.#isDraining) return 'the backend is stopping'
    const isFull = this.#streams.size >= (this.#welcome?.maxStreams ?? limits.streams)
    return isFull ? 'the backend has no free stream' : undefined
  }

  #onClosed(closed: Closed): void {
    for (const stream of this.#streams.values()) stream.connectionLost(closed.reason)
    this.#streams.clear()
    this.#closed.resolve(closed)
  }
}
