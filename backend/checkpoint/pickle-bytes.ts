/** A cursor over the bytes of a pickle: its numbers and texts, one after the other. */

/** Of a global's module or name. */
const maxLineBytes = 256

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Every reader throws Error where the bytes end too early. */
export class PickleBytes {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length
  }

  /** Little-endian. */
  uint(length: 1 | 2 | 4): number {
    const from = this.#skip(length)
    if (length === 1) return this.#view.getUint8(from)
    return length === 2 ? this.#view.getUint16(from, true) : this.#view.getUint32(from, true)
  }

  /** A little-endian integer in two's complement of any length. @throws Error beyond 2^53 */
  long(length: number): number {
    const from = this.#skip(length)
    let value = 0n
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.#bytes[from + i]!)
    const number = Number(BigInt.asIntN(8 * length, value))
    if (Number.isSafeInteger(number)) return number
    throw new Error('it has an integer beyond 2^53')
  }

  /** Big-endian. */
  float64(): number {
    return this.#view.getFloat64(this.#skip(8))
  }

  /** @throws Error unless it is UTF-8 */
  text(numBytes: number): string {
    const from = this.#skip(numBytes)
    return decoder.decode(this.#bytes.subarray(from, from + numBytes))
  }

  /** The text before the next line feed. */
  line(): string {
    const length = this.#bytes.subarray(this.#at, this.#at + maxLineBytes).indexOf(0x0a)
    if (length < 0) throw new Error(`it is cut off or has a name of over ${maxLineBytes} bytes`)
    const line = this.text(length)
    this.#skip(1)
    return line
  }

  /** The place of the next bytes, which it passes. */
  #skip(numBytes: number): number {
    const from = this.#at
    if (from + numBytes > this.#bytes.length) throw new Error('it is cut off')
    this.#at += numBytes
    return from
  }
}
