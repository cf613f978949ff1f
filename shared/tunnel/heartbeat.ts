/**
 * Finds out that a connection is dead: no byte from the peer for too long, or none of ours that
 * left. The backend also PINGs, so that a healthy peer always has something to say.
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
  /** Sends a PING; absent on the side that only answers. */
  readonly ping?: () => void
  readonly dead: (cause: 'silent' | 'stalled', reason: string) => void
}

export class Heartbeat {
  readonly #options: HeartbeatOptions
  readonly #timer: ReturnType<typeof setInterval>
  #lastTick: number
  #lastReceived: number
  #lastProgress: number
  #lastPing: number
  #busySince: number | undefined
  #jitter = 1

  constructor(options: HeartbeatOptions) {
    const now = options.now()
    this.#options = options
    this.#lastTick = now
    this.#lastReceived = now
    this.#lastProgress = now
    this.#lastPing = now
    this.#timer = setInterval(() => this.#tick(), options.timing.tickMs)
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
    clearInterval(this.#timer)
  }

  #tick(): void {
    const { timing, hasStreams, bufferedBytes, dead } = this.#options
    const now = this.#options.now()
    // A late tick says that this process was asleep, not that the peer was: what it sent in the
    // meantime has not been read yet.
    const asleep = now - this.#lastTick - timing.tickMs
    if (asleep > timing.tickMs) {
      this.#lastReceived += asleep
      this.#lastProgress += asleep
    }
    this.#lastTick = now
    this.#busySince = hasStreams() ? (this.#busySince ?? now) : undefined
    if (bufferedBytes() === 0) this.#lastProgress = now

    const silence = now - this.#lastReceived
    const busySilence = this.#busySince === undefined ? 0 : Math.min(silence, now - this.#busySince)
    if (silence >= timing.idleSilenceMs || busySilence >= timing.busySilenceMs) {
      dead('silent', `no byte from the peer for ${Math.round(silence)} ms`)
    } else if (now - this.#lastProgress >= timing.stallMs) {
      dead('stalled', `nothing could be sent for ${timing.stallMs} ms`)
    } else {
      this.#pingWhenDue(now)
    }
  }

  #pingWhenDue(now: number): void {
    const { timing, ping, random } = this.#options
    const interval = this.#busySince === undefined ? timing.pingMs : timing.busyPingMs
    if (!ping || now - this.#lastPing < interval * this.#jitter) return
    this.#lastPing = now
    this.#jitter = 0.8 + 0.4 * random()
    ping()
  }
}
