/** Looks after an answer's body while nothing moves: who is waiting for whom, and for how long. */
import type { AnswerTiming } from './answer-timing.ts'

export type AnswerWatchOptions = Pick<AnswerTiming, 'keepAliveMs' | 'stallMs'> & {
  /** Monotonic, ms. */
  readonly now?: () => number
  /** Whether the client has taken all that there was; else the body waits for the client. */
  readonly clientWaits: () => boolean
  /** The client waits, and nothing came for `keepAliveMs`; null where nothing can be said then. */
  readonly silent: (() => void) | null
  /** The body waits, and the client took nothing for `stallMs`. */
  readonly stalled: () => void
}

/**
 * One timer an answer, set anew when it fires rather than at each chunk: the chunks of a stream are
 * many. So both times are kept to within `keepAliveMs`.
 */
export class AnswerWatch {
  readonly #options: AnswerWatchOptions
  readonly #now: () => number
  readonly #tickMs: number
  #timer: ReturnType<typeof setTimeout>
  #lastMove: number

  constructor(options: AnswerWatchOptions) {
    const { keepAliveMs, stallMs, now = () => performance.now() } = options
    this.#options = options
    this.#now = now
    this.#tickMs = Math.min(keepAliveMs, stallMs)
    this.#lastMove = now()
    this.#timer = setTimeout(() => this.#tick(), this.#tickMs)
  }

  /** The client wants bytes, or has been given some. */
  moved(): void {
    this.#lastMove = this.#now()
  }

  close(): void {
    clearTimeout(this.#timer)
  }

  #tick(): void {
    const { keepAliveMs, stallMs, clientWaits, silent, stalled } = this.#options
    const idleMs = this.#now() - this.#lastMove
    this.#timer = setTimeout(
      () => this.#tick(),
      idleMs < this.#tickMs ? this.#tickMs - idleMs : this.#tickMs,
    )
    if (clientWaits()) {
      if (idleMs < keepAliveMs || !silent) return
      this.moved()
      silent()
    } else if (idleMs >= stallMs) {
      stalled()
    }
  }
}
