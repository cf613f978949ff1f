/** The backend's end of one connection: says HELLO, takes WELCOME, serves the streams that are opened. */
import { closeCodes, TunnelError } from './error.ts'
import type { Counted, TunnelHandler } from './exchange.ts'
import { BackendStream } from './backend-stream.ts'
import { acceptFrame, type Frame } from './frame.ts'
import { limits } from './limits.ts'
import { Link, type Closed, type LinkOptions } from './link.ts'
import { encodeAuth, parseGoaway, type Goaway, type Status } from './control-message.ts'
import type { TunnelCounters } from './counters.ts'
import { encodeHello, parseWelcome, type Hello, type Welcome } from './hello.ts'
import { parseOpen, resetFrame } from './message.ts'
import { encodeUsage, parseUsageAck, type UsageReport } from './usage-message.ts'
import type { Transport } from './transport.ts'

export type BackendSessionOptions = LinkOptions & {
  readonly hello: Hello
  readonly handler: TunnelHandler
  /**
   * Dialled with a pre-shared key: HELLO waits for the gateway's CHALLENGE and carries the answer
   * (see `helloProof`). Without it, HELLO is sent at once, and a CHALLENGE breaks the protocol.
   */
  readonly prove?: (nonce: Uint8Array) => string | Promise<string>
  /** The gateway has let us in. */
  readonly onWelcome: (welcome: Welcome) => void
  /** How busy this backend is; asked after WELCOME, each second, and after each END. */
  readonly status?: () => Status
  /** The gateway has these counts in its books. */
  readonly onUsageAck?: (requestIds: readonly string[]) => void
  /** The gateway opens nothing more here: dial a replacement, then `drain`. */
  readonly onGoaway?: (goaway: Goaway) => void
  /**
   * The journal's hook: called once for each accepted request, when its count is final, and awaited
   * (at most `settleMs`) before END leaves; also after the connection was lost, when no END will.
   */
  readonly beforeEnd?: (counted: Counted) => void | Promise<void>
}

/** How often a draining session looks whether the transport has passed its bytes on. */
const drainPollMs = 10

export class BackendSession {
  /** Resolves when the connection has ended, for whatever reason. */
  readonly closed: Promise<Closed>
  /** Resolves when, after `closed`, all work has stopped and `beforeEnd` has had every count. */
  readonly settled: Promise<void>
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
    this.settled = this.closed.then(() => {})
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

  /** Smoothed round trip, ms; undefined before the first PONG. */
  get roundTripMs(): number | undefined {
    return this.#link.roundTripMs
  }

  /** Whether either end has said GOAWAY. */
  get isDraining(): boolean {
    return this.#isDraining
  }

  /** For metrics. */
  get counters(): TunnelCounters {
    return this.#link.counters.snapshot()
  }

  /** Hands over a fresh token before the old one expires. */
  sendAuth(token: string): void {
    this.#link.outbox.control({ name: 'AUTH', streamId: 0, payload: encodeAuth(token) })
  }

  /**
   * Sends a final count from the journal. Keep at most `limits.usageAckIds` of them unacknowledged
   * on a connection. False when the session has ended or is not yet welcome: try on the next one.
   */
  sendUsage(report: UsageReport): boolean {
    if (this.#link.isClosed || !this.#welcome) return false
    this.#link.outbox.control({ name: 'USAGE', streamId: 0, payload: encodeUsage(report) })
    return true
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
      this.#onConnectionFrame(frame)
    } else if (frame.name === 'OPEN') {
      this.#onOpen(frame)
    } else if (frame.streamId > this.#lastStreamId) {
      throw new TunnelError('PROTOCOL_ERROR', `${frame.name} on a stream that was never opened`)
    } else {
      // A stream that is over may still get frames that were under way.
      this.#streams.get(frame.streamId)?.receive(frame)
    }
  }

  #onConnectionFrame({ name, payload }: Frame): void {
    switch (name) {
      case 'USAGE_ACK':
        return this.#options.onUsageAck?.(parseUsageAck(payload))
      case 'GOAWAY':
        return this.#options.onGoaway?.(parseGoaway(payload))
      default:
        throw new TunnelError('PROTOCOL_ERROR', `${name} after the handshake`)
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
