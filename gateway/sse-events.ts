/** Cutting a byte stream of server-sent events between events, wherever its chunks were cut. */

const LF = 10
const CR = 13

/** An event larger than this is a fault of the backend: nothing may grow without bound. */
const maxEventBytes = 8 * 1024 * 1024

/**
 * Holds back an unfinished event until its end comes: when the stream breaks, the client has got
 * whole events only, and an error event can follow them.
 */
export class WholeEvents {
  #rest: Uint8Array[] = []
  #restBytes = 0
  /** The last bytes seen: enough to recognise the end of an event across two chunks. */
  #last = 0
  #beforeLast = 0

  /** The bytes up to the end of the last whole event: perhaps none. */
  push(chunk: Uint8Array): Uint8Array {
    const end = this.#endOfLastEvent(chunk)
    const whole = end === 0 ? new Uint8Array() : this.#take(chunk.subarray(0, end))
    if (end < chunk.byteLength) {
      this.#rest.push(chunk.subarray(end))
      this.#restBytes += chunk.byteLength - end
    }
    if (this.#restBytes > maxEventBytes) {
      throw new Error(`an event is larger than ${maxEventBytes} bytes`)
    }
    return whole
  }

  /** What is left when the stream ends well. */
  flush(): Uint8Array {
    return this.#take(new Uint8Array())
  }

  #take(tail: Uint8Array): Uint8Array {
    if (this.#restBytes === 0) return tail
    const whole = new Uint8Array(this.#restBytes + tail.byteLength)
    let at = 0
    for (const part of [...this.#rest, tail]) {
      whole.set(part, at)
      at += part.byteLength
    }
    this.#rest = []
    this.#restBytes = 0
    return whole
  }

  /** The index after the last blank line (LF LF or LF CR LF), or 0. */
  #endOfLastEvent(chunk: Uint8Array): number {
    let end = 0
    for (let i = 0; i < chunk.byteLength; i++) {
      const byte = chunk[i]!
      const blank =
        byte === LF && (this.#last === LF || (this.#last === CR && this.#beforeLast === LF))
      if (blank) end = i + 1
      this.#beforeLast = this.#last
      this.#last = byte
    }
    return end
  }
}
