/** The backend's end of one connection: gets in, serves the streams that are opened, says how busy it is. */
import { BackendHandshake } from './backend-handshake.ts'
import { BackendReports } from './backend-reports.ts'
import { BackendStreams } from './backend-streams.ts'
import {
  encodeAuth,
  encodeGoaway,
  parseGoaway,
  parseSync,
  type Goaway,
  type Status,
} from './control-message.ts'
import type { TunnelCounters } from './counters.ts'
import { closeCodes, TunnelError } from './error.ts'
import type { Counted, TunnelHandler } from './exchange.ts'
import { readWindow, type Frame, type FrameName } from './frame.ts'
import type { Hello, Welcome } from './hello.ts'
import { limits } from './limits.ts'
import { Link, type Closed, type LinkOptions } from './link.ts'
import { SyncClock } from './sync-clock.ts'
import type { Transport } from './transport.ts'
import { encodeUsage, parseUsageAck, type UsageReport } from './usage-message.ts'

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

/** How long a drain waits for the gateway to have read that it should open nothing more. */
const drainNoticeMs = 2_000

/** For streams that are cut at the end of a drain: their counts are still to leave. */
const lastCountsMs = 2_000

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

export class BackendSession {
  /** Resolves when the connection has ended, for whatever reason. */
  readonly closed: Promise<Closed>
  /** Resolves when, after `closed`, all work has stopped and `beforeEnd` has had every count. */
  readonly settled: Promise<void>
  readonly #closed = Promise.withResolvers<Closed>()
  readonly #options: BackendSessionOptions
  readonly #transport: Transport
  readonly #link: Link
  readonly #handshake: BackendHandshake
  readonly #reports: BackendReports
  readonly #syncs: SyncClock
  #streams: BackendStreams | undefined // once the gateway has let us in
  #isDraining = false
  #drained: Promise<void> | undefined
  #drainDeadline = Infinity

  constructor(transport: Transport, options: BackendSessionOptions) {
    const { hello, prove, status } = options
    this.closed = this.#closed.promise
    this.settled = this.closed.then(() => this.#streams?.settled())
    this.#options = options
    this.#transport = transport
    const link = new Link(
      transport,
      {
        frame: (frame) => this.#onFrame(frame),
        hasStreams: () => this.openStreams > 0,
        tick: (now) => this.#onTick(now),
        closed: (closed) => this.#onClosed(closed),
      },
      'always',
      options,
    )
    this.#link = link
    this.#syncs = new SyncClock(link.timing.syncMs, link.now())
    this.#reports = new BackendReports({ link, instanceId: hello.instanceId, status })
    const done = (welcome: Welcome) => this.#onWelcome(welcome)
    this.#handshake = new BackendHandshake({ link, hello, prove, done })
  }

  get openStreams(): number {
    return this.#streams?.size ?? 0
  }

  /** Smoothed round trip, ms; undefined before the first PONG. */
  get roundTripMs(): number | undefined {
    return this.#link.roundTripMs
  }

  /** For how long nothing has come from the gateway. */
  get silentMs(): number {
    return this.#link.silentMs
  }

  /** Bytes handed to the transport and not yet passed on. */
  get bufferedBytes(): number {
    return this.#transport.bufferedBytes
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
    this.#control('AUTH', encodeAuth(token))
  }

  /**
   * Sends a final count from the journal. Keep at most `limits.usageAckIds` of them unacknowledged
   * on a connection. False when the session has ended or is not yet welcome: try on the next one.
   */
  sendUsage(report: UsageReport): boolean {
    if (this.#link.isClosed || !this.#streams) return false
    this.#control('USAGE', encodeUsage(report))
    return true
  }

  /** One message from the transport, which must not be changed afterwards. */
  receive(message: Uint8Array): void {
    this.#link.receive(message)
  }

  /** The gateway's runtime has answered a text ping. */
  textPong(): void {
    this.#link.textPong()
  }

  /** The transport is gone. */
  transportClosed(code: number, reason: string): void {
    this.#link.transportClosed(code, reason)
  }

  /** Ends the connection and stops all work on it. Idempotent. */
  close(code: number, reason: string): void {
    this.#link.close(code, reason)
  }

  /**
   * Takes no new streams, gives the running ones up to `graceMs`, cuts what is left, with its count, and
   * closes with 1000. Streams that the gateway opened before it was told are still served. Called again,
   * the shorter grace holds.
   */
  drain(graceMs: number): Promise<void> {
    this.#drainDeadline = Math.min(this.#drainDeadline, performance.now() + graceMs)
    return (this.#drained ??= this.#drain())
  }

  async #drain(): Promise<void> {
    this.#isDraining = true
    const leftMs = () => Math.max(0, this.#drainDeadline - performance.now())
    if (this.#streams) {
      this.#goaway(limits.maxStreamId, leftMs())
      let hasNotice = false
      const notice = this.#link.peerHasRead().then(() => (hasNotice = true))
      const patienceMs = () => Math.min(drainNoticeMs, leftMs())
      await Promise.race([notice, this.#wait(() => hasNotice, patienceMs)])
      this.#goaway(this.#streams.stopOpening(), leftMs())
    }
    const isQuiet = () => this.openStreams === 0 && this.#transport.bufferedBytes === 0
    await this.#wait(isQuiet, leftMs)
    if (!isQuiet()) this.#streams?.cut({ code: 'DRAINING', message: 'the backend stops' })
    await this.#wait(isQuiet, () => Math.min(lastCountsMs, this.#link.timing.settleMs))
    this.close(closeCodes.NORMAL, 'the backend stops')
  }

  /** Until it is so, the link is closed, or `atMostMs` is over, which may become less meanwhile. */
  async #wait(isSo: () => boolean, atMostMs: () => number): Promise<void> {
    const since = performance.now()
    const isOver = () => performance.now() - since >= atMostMs()
    while (!this.#link.isClosed && !isSo() && !isOver()) await sleep(drainPollMs)
  }

  #goaway(lastStreamId: number, deadlineMs: number): void {
    const payload = encodeGoaway({
      code: 'DRAINING',
      lastStreamId,
      deadlineMs: Math.round(Math.min(deadlineMs, limits.deadlineMs)),
      message: 'the backend stops',
    })
    this.#control('GOAWAY', payload)
  }

  #onFrame(frame: Frame): void {
    if (!this.#streams) this.#handshake.receive(frame)
    else if (frame.streamId === 0) this.#onConnectionFrame(this.#streams, frame)
    else this.#streams.receive(frame)
  }

  #onWelcome(welcome: Welcome): void {
    const { hello, handler, beforeEnd, onWelcome } = this.#options
    const link = this.#link
    link.handshakeDone()
    if (welcome.textPing) link.pingByText()
    const onClosed = () => this.#reports.ended()
    this.#streams = new BackendStreams({ link, hello, welcome, handler, beforeEnd, onClosed })
    this.#reports.begin(link.now())
    onWelcome(welcome)
  }

  #onConnectionFrame(streams: BackendStreams, { name, payload }: Frame): void {
    switch (name) {
      case 'WINDOW':
        return streams.sendCredit.grant(readWindow(payload))
      case 'USAGE_ACK':
        return this.#options.onUsageAck?.(parseUsageAck(payload))
      case 'SYNC':
        return streams.sync(parseSync(payload))
      case 'GOAWAY':
        this.#isDraining = true
        return this.#options.onGoaway?.(parseGoaway(payload))
      default:
        throw new TunnelError('PROTOCOL_ERROR', `${name} after the handshake`)
    }
  }

  #onTick(now: number): void {
    if (!this.#streams) return
    this.#reports.tick(now, this.#streams.values())
    if (this.#syncs.isDue(now, this.openStreams > 0)) {
      this.#control('SYNC', this.#streams.encodeSync())
    }
  }

  #control(name: FrameName, payload: Uint8Array): void {
    this.#link.outbox.control({ name, streamId: 0, payload })
  }

  #onClosed(closed: Closed): void {
    this.#streams?.connectionLost(closed.reason)
    this.#closed.resolve(closed)
  }
}
