/** Writes protocol buffer messages: https://protobuf.dev/programming-guides/encoding/. */

const wireTypes = { varint: 0, bytes: 2, fixed32: 5 } as const

const initialBytes = 64

const encoder = new TextEncoder()

/** One message, field after field, in the order of the calls. */
export class ProtobufWriter {
  #buffer = new Uint8Array(initialBytes)
  #length = 0

  /** A copy of what was written. */
  finish(): Uint8Array {
    return this.#buffer.slice(0, this.#length)
  }

  /** An int32, int64 or enum field. @throws RangeError unless the value is a safe integer */
  int(field: number, value: number): this {
    if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is no whole number`)
    this.#tag(field, wireTypes.varint)
    this.#varint(value)
    return this
  }

  float(field: number, value: number): this {
    this.#tag(field, wireTypes.fixed32)
    this.#reserve(4)
    new DataView(this.#buffer.buffer).setFloat32(this.#length, value, true)
    this.#length += 4
    return this
  }

  string(field: number, value: string): this {
    return this.bytes(field, encoder.encode(value))
  }

  bytes(field: number, value: Uint8Array): this {
    this.#tag(field, wireTypes.bytes)
    this.#varint(value.length)
    this.#reserve(value.length)
    this.#buffer.set(value, this.#length)
    this.#length += value.length
    return this
  }

  /** A nested message. */
  message(field: number, value: ProtobufWriter): this {
    return this.bytes(field, value.#buffer.subarray(0, value.#length))
  }

  #tag(field: number, wireType: number): void {
    this.#varint(field * 8 + wireType)
  }

  #varint(value: number): void {
    // Negative numbers are ten bytes of two's complement, beyond what numbers can shift.
    let rest = BigInt.asUintN(64, BigInt(value))
    this.#reserve(10)
    while (rest > 0x7fn) {
      this.#buffer[this.#length++] = Number(rest & 0x7fn) | 0x80
      rest >>= 7n
    }
    this.#buffer[this.#length++] = Number(rest)
  }

  #reserve(numBytes: number): void {
    const needed = this.#length + numBytes
    if (needed <= this.#buffer.length) return
    const larger = new Uint8Array(Math.max(needed, this.#buffer.length * 2))
    larger.set(this.#buffer)
    this.#buffer = larger
  }
}
