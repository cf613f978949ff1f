/** The gateway's end of one connection: lets the backend in, opens streams, hears what it says of itself. */
import {
  encodeGoaway,
  parseAuth,
  parseGoaway,
  parseStatus,
  parseSync,
  type Goaway,
  type Status,
} from './control-message.ts'
import type { TunnelCounters } from './counters.ts'
import { closeCodes, TunnelError } from './error.ts'
import type { Exchange, OpenRequest } from './exchange.ts'
import { readWindow, type Frame, type FrameName } from './frame.ts'
import { GatewayHandshake } from './gateway-handshake.ts'
import type { GatewaySessionOptions } from './gateway-session-options.ts'
import { GatewayStreams } from './gateway-streams.ts'
import { encodeWelcome, type Hello } from './hello.ts'
import { limits } from './limits.ts'
import { Link, type Closed } from './link.ts'
import { RefusedExchange } from './refused-exchange.ts'
import type { SessionSnapshot } from './session-snapshot.ts'
import { SyncClock } from './sync-clock.ts'
import type { Transport } from './transport.ts'
import { encodeUsageAck, parseUsageReport, type UsageReport } from './usage-message.ts'

export class GatewaySession {
  readonly sessionId: string
  /** Resolves when the connection has ended, for whatever reason. */
  readonly closed: Promise<Closed>
  readonly #closed = Promise.withResolvers<Closed>()
  readonly #options: GatewaySessionOptions
  readonly #link: Link
  readonly #handshake: GatewayHandshake | undefined
  readonly #syncs: SyncClock
  #streams: GatewayStreams | undefined // once the backend is let in
  #agreed: SessionSnapshot | undefined
  #status: Status | undefined
  #goawayLastStreamId: number = limits.maxStreamId
  #isDraining = false
  #whenIdle: (() => void) | undefined

  constructor(transport: Transport, options: GatewaySessionOptions) {
    const { resume, pings = true, challenge, onHello } = options
    this.sessionId = options.sessionId
    this.closed = this.#closed.promise
    this.#options = options
    const link = new Link(
      transport,
      {
        frame: (frame) => this.#onFrame(frame),
        hasStreams: () => this.openStreams > 0,
        tick: (now) => this.#onTick(now),
        closed: (closed) => this.#onClosed(closed),
      },
      pings ? 'busy' : 'never',
      options,
    )
    this.#link = link
    this.#syncs = new SyncClock(link.timing.syncMs, link.now())
    if (resume) {
      this.#begin(resume)
    } else {
      const done = (hello: Hello) => this.#welcome(hello)
      this.#handshake = new GatewayHandshake({ link, challenge, onHello, done })
    }
  }

  /** Streams that count against `maxStreams`, cancelled ones until they have settled. */
  get openStreams(): number {
    return this.#streams?.size ?? 0
  }

  /** Whether `open` would be admitted on this side. */
  get hasRoom(): boolean {
    return !this.#link.isClosed && !this.#isDraining && this.#streams?.hasRoom === true
  }

  /** What the backend said of itself; undefined before it was let in. */
  get hello(): Hello | undefined {
    return this.#agreed?.hello
  }

  /** The backend's latest STATUS. */
  get status(): Status | undefined {
    return this.#status
  }

  /** Smoothed round trip, ms; undefined before the first PONG or ACCEPT. */
  get roundTripMs(): number | undefined {
    return this.#link.roundTripMs
  }

  /** For how long nothing has come from the backend. */
  get silentMs(): number {
    return this.#link.silentMs
  }

  /** Whether either end has said GOAWAY, or the backend's STATUS says that it drains. */
  get isDraining(): boolean {
    return this.#isDraining || this.#status?.draining === true
  }

  /** For metrics. */
  get counters(): TunnelCounters {
    return this.#link.counters.snapshot()
  }

  /** What a new session needs to go on with this connection; undefined unless it is idle. */
  snapshot(): SessionSnapshot | undefined {
    if (!this.#agreed || !this.#streams || this.openStreams > 0 || this.#link.isClosed) {
      return undefined
    }
    return {
      ...this.#agreed,
      ...(this.#status && { status: this.#status }),
      lastStreamId: this.#streams.lastStreamId,
      sendCreditBytes: this.#streams.sendCredit.availableBytes,
      receiveCreditBytes: this.#streams.receiveCredit.leftBytes,
      isDraining: this.#isDraining,
    }
  }

  /** One message from the transport, which must not be changed afterwards. */
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

  /** Tells the backend that these final counts are in the books, those of END too. Any number. */
  acknowledgeUsage(requestIds: readonly string[]): void {
    for (let at = 0; at < requestIds.length; at += limits.usageAckIds) {
      const payload = encodeUsageAck(requestIds.slice(at, at + limits.usageAckIds))
      this.#control('USAGE_ACK', payload)
    }
  }

  /**
   * Opens no more streams here, and asks the backend to dial a replacement. Running ones go on;
   * what has not left yet fails with DRAINING, to be sent elsewhere.
   */
  goaway(goaway: Omit<Goaway, 'lastStreamId'>): void {
    this.#isDraining = true
    const payload = encodeGoaway({ ...goaway, lastStreamId: 0 })
    this.#control('GOAWAY', payload)
    this.#streams?.stopOpening(limits.maxStreamId, goaway.message)
  }

  /** `goaway`; then waits until the streams are done, at most `deadlineMs`, and closes with 1001. */
  async drain(goaway: Omit<Goaway, 'lastStreamId'>): Promise<void> {
    this.goaway(goaway)
    if (this.openStreams > 0 && !this.#link.isClosed) {
      const over = Promise.withResolvers<void>()
      const timer = setTimeout(over.resolve, goaway.deadlineMs)
      this.#whenIdle = over.resolve
      await Promise.race([over.promise, this.closed])
      clearTimeout(timer)
    }
    this.close(closeCodes.GOING_AWAY, goaway.message)
  }

  /** Sends a request. Never throws: what cannot be sent is an exchange that has failed. */
  open(request: OpenRequest): Exchange {
    try {
      return this.#open(request)
    } catch (error) {
      if (!(error instanceof TunnelError)) throw error
      if (request.body instanceof ReadableStream) request.body.cancel(error).catch(() => {})
      return new RefusedExchange(error.code, error.message)
    }
  }

  #open(request: OpenRequest): Exchange {
    if (this.#link.isClosed || !this.#streams) {
      throw new TunnelError('CONNECTION_LOST', 'the backend is not connected')
    }
    if (this.#isDraining) throw new TunnelError('DRAINING', 'the connection is being given up')
    return this.#streams.open(request)
  }

  #welcome(hello: Hello): void {
    const {
      sessionId,
      maxStreams = limits.streams,
      windowBytes = limits.responseWindowBytes,
      connectionWindowBytes = limits.responseConnectionWindowBytes,
      answersTextPing = false,
      firstStreamId = 1,
      onReady,
    } = this.#options
    const welcome = {
      sessionId,
      maxStreams: Math.min(maxStreams, hello.maxStreams, limits.streams),
      windowBytes,
      connectionWindowBytes,
      ...(answersTextPing && { textPing: true }),
    }
    this.#control('WELCOME', encodeWelcome(welcome))
    this.#begin({
      hello,
      maxStreams: welcome.maxStreams,
      windowBytes,
      connectionWindowBytes,
      lastStreamId: firstStreamId - 2,
      sendCreditBytes: hello.connectionWindowBytes,
      receiveCreditBytes: connectionWindowBytes,
      isDraining: false,
    })
    onReady?.(hello)
    this.#noteChange()
  }

  #begin(agreed: SessionSnapshot): void {
    this.#link.handshakeDone()
    this.#agreed = agreed
    this.#status = agreed.status
    this.#isDraining = agreed.isDraining
    this.#streams = new GatewayStreams({
      link: this.#link,
      agreed,
      onIdle: () => {
        this.#whenIdle?.()
        this.#noteChange()
      },
      onCredit: () => this.#noteChange(),
    })
  }

  /** What a snapshot says has changed. */
  #noteChange(): void {
    if (this.openStreams === 0) this.#options.onIdle?.()
  }

  #onFrame(frame: Frame): void {
    if (!this.#streams) this.#handshake?.receive(frame)
    else if (frame.streamId === 0) this.#onConnectionFrame(this.#streams, frame)
    else this.#streams.receive(frame)
  }

  #onConnectionFrame(streams: GatewayStreams, { name, payload }: Frame): void {
    switch (name) {
      case 'WINDOW':
        streams.sendCredit.grant(readWindow(payload))
        return this.#noteChange()
      case 'STATUS':
        return this.#onStatus(parseStatus(payload))
      case 'USAGE':
        return this.#onUsage(streams, parseUsageReport(payload))
      case 'SYNC':
        return streams.sync(parseSync(payload))
      case 'GOAWAY':
        return this.#onGoaway(streams, parseGoaway(payload))
      case 'AUTH':
        return this.#options.onAuth?.(parseAuth(payload))
      default:
        throw new TunnelError('PROTOCOL_ERROR', `${name} after the handshake`)
    }
  }

  #onStatus(status: Status): void {
    this.#status = status
    this.#options.onStatus?.(status)
    this.#noteChange()
  }

  #onUsage(streams: GatewayStreams, report: UsageReport): void {
    if (report.isFinal) this.#options.onUsage?.(report)
    else streams.reported(report)
  }

  #onGoaway(streams: GatewayStreams, goaway: Goaway): void {
    if (goaway.lastStreamId > this.#goawayLastStreamId) {
      throw new TunnelError('PROTOCOL_ERROR', 'GOAWAY with a higher id than the one before')
    }
    this.#goawayLastStreamId = goaway.lastStreamId
    this.#isDraining = true
    streams.stopOpening(goaway.lastStreamId, goaway.message)
    this.#options.onGoaway?.(goaway)
    this.#noteChange()
  }

  #onTick(now: number): void {
    if (!this.#streams || !this.#syncs.isDue(now, this.openStreams > 0)) return
    this.#control('SYNC', this.#streams.encodeSync())
  }

  #control(name: FrameName, payload: Uint8Array): void {
    this.#link.outbox.control({ name, streamId: 0, payload })
  }

  #onClosed(closed: Closed): void {
    this.#streams?.connectionLost(closed.reason)
    this.#closed.resolve(closed)
  }
}
