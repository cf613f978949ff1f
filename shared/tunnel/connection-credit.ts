/**
 * Credit that all streams of a connection share, one object per direction. It bounds what an end
 * holds for the whole connection, whatever the windows of its streams add up to. SPEC.md, "Windows".
 */
import { TunnelError } from './error.ts'
import { limits } from './limits.ts'
import type { FrameSource } from './outbox.ts'

/** What this end may still send. */
export class SendCredit {
  #available: number
  readonly #ready: (source: FrameSource) => void
  readonly #waiting = new Set<FrameSource>() // first come, first served

  /** `ready` gives a source that had to wait its turn again. */
  constructor(availableBytes: number, ready: (source: FrameSource) => void) {
    this.#available = availableBytes
    this.#ready = ready
  }

  get availableBytes(): number {
    return this.#available
  }

  /** Uses up credit that is available. */
  take(bytes: number): void {
    this.#available -= bytes
  }

  /** The source has data and finds no credit here. */
  wait(source: FrameSource): void {
    this.#waiting.add(source)
  }

  forget(source: FrameSource): void {
    this.#waiting.delete(source)
  }

  /** The peer's WINDOW. @throws TunnelError FLOW_CONTROL when the credit leaves its range */
  grant(delta: number): void {
    this.#available += delta
    if (this.#available > limits.maxCreditBytes) {
      throw new TunnelError('FLOW_CONTROL', `credit of ${this.#available} bytes on the connection`)
    }
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const source of waiting) this.#ready(source)
  }
}

export type ReceiveCreditOptions = {
  /** What the peer may have sent and this end not yet taken. */
  readonly windowBytes: number
  /**
   * Initial window of one stream. Credit goes back in halves of it, so that readers that stand still
   * leave enough for one that does not.
   */
  readonly streamWindowBytes: number
  /** Streams at once: the initial windows of so many are kept back from growth, if they fit. */
  readonly maxStreams: number
  /** Credit left to the peer; less than the window where a session goes on after a sleep. */
  readonly leftBytes?: number
  /** WINDOW for the connection is due. */
  readonly grant: (delta: number) => void
}

/** What the peer may still send. */
export class ReceiveCredit {
  readonly #options: ReceiveCreditOptions
  readonly #grantFromBytes: number
  #left: number
  #taken: number // by the readers, not yet granted again
  #growthLeft: number

  constructor(options: ReceiveCreditOptions) {
    const { windowBytes, streamWindowBytes, maxStreams, leftBytes = windowBytes } = options
    this.#options = options
    this.#grantFromBytes = Math.min(windowBytes, streamWindowBytes) / 2
    this.#left = leftBytes
    this.#taken = windowBytes - leftBytes
    const keptBack = maxStreams * streamWindowBytes
    // An owner who promises less than one window a stream relies on readers that read.
    this.#growthLeft = keptBack > windowBytes ? windowBytes / 2 : windowBytes - keptBack
  }

  /** Credit that the peer has left. */
  get leftBytes(): number {
    return this.#left
  }

  /** DATA has come. @throws TunnelError FLOW_CONTROL when it is over the credit */
  received(bytes: number): void {
    this.#left -= bytes
    if (this.#left < 0) {
      throw new TunnelError('FLOW_CONTROL', `${-this.#left} bytes of DATA over the connection's`)
    }
  }

  /** Its bytes were read or dropped: each byte received is taken once. */
  taken(bytes: number): void {
    this.#taken += bytes
    if (this.#taken < this.#grantFromBytes) return
    this.#left += this.#taken
    this.#options.grant(this.#taken)
    this.#taken = 0
  }

  /** Lets a stream's window grow, if all windows still fit into the connection's. */
  grow(bytes: number): boolean {
    if (bytes > this.#growthLeft) return false
    this.#growthLeft -= bytes
    return true
  }

  /** A grown stream is over. */
  shrink(bytes: number): void {
    this.#growthLeft += bytes
  }
}
