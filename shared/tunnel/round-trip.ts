/** The round trip of a connection, smoothed over samples: PING to PONG, and OPEN to ACCEPT. */

/** The weight of a new sample. */
const gain = 1 / 8

/** PINGs whose answers are awaited; the oldest is given up. */
const maxAwaited = 8

export class RoundTrip {
  #ms: number | undefined
  #numPings = 0
  readonly #sentAt = new Map<number, number>() // by the PING's number, oldest first

  /** Undefined before the first sample. */
  get ms(): number | undefined {
    return this.#ms
  }

  /** The number of the last PING. */
  get numPings(): number {
    return this.#numPings
  }

  sample(ms: number): void {
    this.#ms = this.#ms === undefined ? ms : this.#ms + (ms - this.#ms) * gain
  }

  /** The payload of the next PING. */
  ping(now: number): Uint8Array {
    const number = ++this.#numPings
    this.#sentAt.set(number, now)
    if (this.#sentAt.size > maxAwaited) this.#sentAt.delete(number - maxAwaited)
    const payload = new Uint8Array(8)
    new DataView(payload.buffer).setUint32(4, number)
    return payload
  }

  /** The number of the PING that this PONG answers; 0 if it answers none that is awaited. */
  pong(payload: Uint8Array, now: number): number {
    const view = new DataView(payload.buffer, payload.byteOffset, 8)
    const number = view.getUint32(4)
    const sentAt = view.getUint32(0) === 0 ? this.#sentAt.get(number) : undefined
    if (sentAt === undefined) return 0
    this.#sentAt.delete(number)
    this.sample(now - sentAt)
    return number
  }
}
