/**
 * One connection, the same on both ends: decodes what comes, orders what leaves, answers PING, and
 * closes once. What the frames mean is the session's affair.
 */
import type { Log } from '../log.ts'
import { Counters } from './counters.ts'
import { closeCodes, TunnelError } from './error.ts'
import { decodeMessage, type Frame } from './frame.ts'
import { Heartbeat } from './heartbeat.ts'
import { defaultTiming, type Timing } from './limits.ts'
import { resetFrame, type Failure } from './message.ts'
import { Outbox } from './outbox.ts'
import type { Pace } from './receive-stream.ts'
import { RoundTrip } from './round-trip.ts'
import type { Transport } from './transport.ts'

/** How a connection ended. */
export type Closed = {
  readonly code: number
  readonly reason: string
  /** Which side closed it; `peer` also where the network did. */
  readonly by: 'us' | 'peer'
}

export type LinkOptions = {
  readonly log: Log
  readonly timing?: Timing
  /** Monotonic clock, ms. */
  readonly now?: () => number
  readonly random?: () => number
  /**
   * False where the runtime sleeps while no stream is open: then no timer runs, and silence is not
   * watched. Default true.
   */
  readonly watchIdle?: boolean
}

/** What a session does with its link's news. */
export interface LinkEvents {
  /** Any frame but PING and PONG. @throws TunnelError when the peer broke the protocol */
  frame(frame: Frame): void
  hasStreams(): boolean
  /** At every look at the clock, `timing.tickMs` apart. */
  tick(now: number): void
  /** Called once. */
  closed(closed: Closed): void
}

/** When this end sends PING. */
export type Pings = 'always' | 'busy' | 'never'

const lateHandshake = 'the handshake took too long'

export class Link implements Pace {
  readonly outbox: Outbox
  readonly counters = new Counters()
  readonly timing: Timing
  readonly log: Log
  readonly now: () => number
  readonly #transport: Transport
  readonly #events: LinkEvents
  readonly #heartbeat: Heartbeat
  readonly #handshakeTimer: ReturnType<typeof setTimeout>
  readonly #roundTrip = new RoundTrip()
  #awaitedPong: { readonly number: number; readonly come: () => void } | undefined
  #isClosed = false
  #idlePings: 'frame' | 'text' = 'frame'

  constructor(transport: Transport, events: LinkEvents, pings: Pings, options: LinkOptions) {
    const { timing = defaultTiming, now = () => performance.now(), random = Math.random } = options
    this.timing = timing
    this.log = options.log
    this.now = now
    this.#transport = transport
    this.#events = events
    this.outbox = new Outbox({
      transport,
      counters: this.counters,
      now,
      overflow: (code, reason) => this.close(code, reason),
      progress: () => this.#heartbeat.progressed(),
    })
    this.#heartbeat = new Heartbeat({
      timing,
      now,
      random,
      hasStreams: () => events.hasStreams(),
      bufferedBytes: () => transport.bufferedBytes,
      pings,
      ping: () => {
        const isText = this.#idlePings === 'text' && !events.hasStreams()
        if (isText && transport.textPing) transport.textPing()
        else this.#ping()
      },
      watchIdle: options.watchIdle ?? true,
      tick: (at) => events.tick(at),
      dead: (cause, reason) =>
        this.close(cause === 'silent' ? closeCodes.TIMEOUT : closeCodes.STALLED, reason),
    })
    this.#handshakeTimer = setTimeout(
      () => this.close(closeCodes.TIMEOUT, lateHandshake),
      timing.handshakeMs,
    )
  }

  /** Smoothed round trip, ms; undefined before the first sample. */
  get roundTripMs(): number | undefined {
    return this.#roundTrip.ms
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** For how long nothing has come from the peer. */
  get silentMs(): number {
    return this.#heartbeat.silentMs
  }

  /** HELLO and WELCOME have been exchanged, as far as this side is concerned. */
  handshakeDone(): void {
    clearTimeout(this.#handshakeTimer)
  }

  /** A stream was opened. */
  streamOpened(): void {
    this.counters.streamsOpened++
    this.#heartbeat.streamOpened()
  }

  /** What a frame and its answer took to go there and back. */
  sampleRoundTrip(ms: number): void {
    this.#roundTrip.sample(ms)
  }

  /** Resolves when the peer has read what was sent until now, or the link is closed. */
  async peerHasRead(): Promise<void> {
    if (this.#isClosed) return
    const answered = Promise.withResolvers<void>()
    this.#ping()
    this.#awaitedPong = { number: this.#roundTrip.numPings, come: answered.resolve }
    await answered.promise
  }

  reset(streamId: number, failure: Failure): void {
    if (this.#isClosed) return
    this.counters.resetSent(failure.code)
    this.outbox.control(resetFrame(streamId, failure))
  }

  /** From now on this end's PINGs are text while no stream is open: the peer sleeps. */
  pingByText(): void {
    this.#idlePings = 'text'
  }

  /** The peer's runtime has answered a text ping. */
  textPong(): void {
    this.#heartbeat.received()
  }

  /** One message from the transport, which must not be changed afterwards. */
  receive(message: Uint8Array): void {
    if (this.#isClosed) return
    this.#heartbeat.received()
    this.counters.messagesReceived++
    this.counters.bytesReceived += message.byteLength
    try {
      for (const frame of decodeMessage(message)) {
        // A frame may have closed the link.
        if (!this.#isClosed) this.#dispatch(frame)
      }
    } catch (error) {
      this.fail(error)
    }
  }

  /** Tells the peer why, and ends. Idempotent. */
  close(code: number, reason: string): void {
    if (this.#isClosed) return
    this.outbox.flush()
    this.#end({ code, reason, by: 'us' })
    this.#transport.close(code, reason)
  }

  /** Ends because of an error: the peer's, if it is a `TunnelError`, or ours. */
  fail(error: unknown): void {
    if (error instanceof TunnelError) {
      const code = error.code === 'FLOW_CONTROL' ? 'FLOW_CONTROL' : 'PROTOCOL_ERROR'
      this.log.warn('tunnel peer broke the protocol', { reason: error.message })
      this.close(closeCodes[code], error.message)
    } else {
      this.log.error('tunnel session failed', { error: String(error) })
      this.close(closeCodes.INTERNAL_ERROR, 'internal error')
    }
  }

  /** The transport is gone. */
  transportClosed(code: number, reason: string): void {
    this.#end({ code, reason, by: 'peer' })
  }

  #dispatch(frame: Frame): void {
    this.counters.framesReceived++
    if (frame.name === 'PING') {
      // The view is of the message: it must survive until it is sent.
      this.outbox.control({ name: 'PONG', streamId: 0, payload: frame.payload.slice() })
    } else if (frame.name === 'PONG') {
      this.#onPong(frame.payload)
    } else {
      this.#events.frame(frame)
    }
  }

  #onPong(payload: Uint8Array): void {
    const number = this.#roundTrip.pong(payload, this.now())
    if (this.#awaitedPong && number >= this.#awaitedPong.number) this.#awaitedPong.come()
  }

  #ping(): void {
    const payload = this.#roundTrip.ping(this.now())
    this.outbox.control({ name: 'PING', streamId: 0, payload })
  }

  #end(closed: Closed): void {
    if (this.#isClosed) return
    this.#isClosed = true
    clearTimeout(this.#handshakeTimer)
    this.#heartbeat.close()
    this.outbox.close()
    this.#awaitedPong?.come()
    this.#events.closed(closed)
  }
}
