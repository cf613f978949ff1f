/**
 * Finds out that a connection is dead: no byte from the peer for too long, or none of ours that
 * left. An end that PINGs makes sure that a healthy peer always has something to say, and learns the
 * round trip.
 */
import type { Timing } from './limits.ts'

export type HeartbeatOptions = {
  readonly timing: Timing
  /** Monotonic, ms. */
  readonly now: () => number
  /** Numbers in [0, 1) that spread the PINGs. */
  readonly random: () => number
  readonly hasStreams: () => boolean
  readonly bufferedBytes: () => number
  /** When this end sends PING: the backend always, a gateway while streams are open, or never. */
  readonly pings: 'always' | 'busy' | 'never'
  readonly ping: () => void
  /** False: no timer runs while no stream is open, and silence is not watched then. */
  readonly watchIdle: boolean
  /** Called at every look at the clock. */
  readonly tick: (now: number) => void
  readonly dead: (cause: 'silent' | 'stalled', reason: string) => void
}

export class Heartbeat {
  readonly #options: HeartbeatOptions
  #timer: ReturnType<typeof setInterval> | undefined
  #lastTick = 0
  #lastReceived: number
  #lastProgress = 0
  #lastPing: number
  #busySince: number | undefined
  #jitter = 1
  #isClosed = false

  constructor(options: HeartbeatOptions) {
    const now = options.now()
    this.#options = options
    this.#lastReceived = now
    this.#lastPing = now
    if (options.watchIdle) this.#start()
  }

  /** A stream was opened: there is something to watch. */
  streamOpened(): void {
    if (!this.#timer) this.#start()
  }

  /** Something came from the peer. */
  received(): void {
    this.#lastReceived = this.#options.now()
  }

  /** For how long nothing has come from the peer. */
  get silentMs(): number {
    return this.#options.now() - this.#lastReceived
  }

  /** Something of ours has left the transport. */
  progressed(): void {
    this.#lastProgress = this.#options.now()
  }

  close(): void {
    this.#isClosed = true
    this.#stop()
  }

  #start(): void {
    if (this.#isClosed) return
    const now = this.#options.now()
    this.#lastTick = now
    this.#lastProgress = now
    // While nobody watched, silence said nothing.
    if (!this.#options.watchIdle) this.#lastReceived = now
    this.#timer = setInterval(() => this.#tick(), this.#options.timing.tickMs)
  }

  #stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #tick(): void {
    const { timing, hasStreams, bufferedBytes, watchIdle, dead, tick } = this.#options
    const now = this.#options.now()
    // A late tick says that this process was asleep, not that the peer was: what it sent in the
    // meantime has not been read yet.
    const asleep = now - this.#lastTick - timing.tickMs
    if (asleep > timing.tickMs) {
      this.#lastReceived += asleep
      this.#lastProgress += asleep
    }
    this.#lastTick = now
    const isBusy = hasStreams()
    this.#busySince = isBusy ? (this.#busySince ?? now) : undefined
    if (bufferedBytes() === 0) this.#lastProgress = now

    const silence = now - this.#lastReceived
    const busySilence = this.#busySince === undefined ? 0 : Math.min(silence, now - this.#busySince)
    if (silence >= timing.idleSilenceMs || busySilence >= timing.busySilenceMs) {
      dead('silent', `no byte from the peer for ${Math.round(silence)} ms`)
    } else if (now - this.#lastProgress >= timing.stallMs) {
      dead('stalled', `nothing could be sent for ${timing.stallMs} ms`)
    } else {
      this.#pingWhenDue(now, isBusy)
      tick(now)
      if (!isBusy && !watchIdle) this.#stop()
    }
  }

  #pingWhenDue(now: number, isBusy: boolean): void {
    const { timing, pings, ping, random } = this.#options
    if (pings === 'never' || (pings === 'busy' && !isBusy)) return
    const interval = isBusy ? timing.busyPingMs : timing.pingMs
    if (now - this.#lastPing < interval * this.#jitter) return
    this.#lastPing = now
    this.#jitter = 0.8 + 0.4 * random()
    ping()
  }
}
