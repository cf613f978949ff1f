/** A cursor over the beginning of a GGUF file: its numbers and texts, little-endian. */
import { isUtf8 } from 'node:buffer'
import { GgufTexts } from './gguf-texts.ts'

/** The bytes given end before what is read does: the file may go on. */
export class EndOfBytes extends Error {
  override readonly name = 'EndOfBytes'
}

/** Of what tells how long a text is. */
const lengthBytes = 8

/** Every reader throws EndOfBytes where the bytes end too early. */
export class GgufCursor {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  /** From the start of the file. */
  get at(): number {
    return this.#at
  }

  uint8(): number {
    return this.#view.getUint8(this.#skip(1))
  }

  uint32(): number {
    return this.#view.getUint32(this.#skip(4), true)
  }

  /** A length, a count or a place; beyond 2^53 it is inexact, and beyond every file. */
  uint64(): number {
    return Number(this.#view.getBigUint64(this.#skip(8), true))
  }

  /** @throws Error unless it is UTF-8 */
  text(): string {
    return this.texts(1).at(0) ?? ''
  }

  /** So many texts in a row. @throws Error unless they are UTF-8 */
  texts(count: number): GgufTexts {
    // The length of each is in the file: no count makes the list longer than the bytes are.
    if (count * lengthBytes > this.#bytes.length - this.#at) throw new EndOfBytes()
    const ranges = new Uint32Array(2 * count)
    for (let i = 0; i < ranges.length; i += 2) {
      const length = this.uint64()
      const from = this.#skip(length)
      if (!isUtf8(this.#bytes.subarray(from, from + length))) throw new Error('a text is no UTF-8')
      ranges.set([from, from + length], i)
    }
    return new GgufTexts(this.#bytes, ranges)
  }

  /** A copy of the next bytes, from the start of its buffer. */
  bytes(length: number): Uint8Array<ArrayBuffer> {
    const from = this.#skip(length)
    return new Uint8Array(this.#bytes.subarray(from, from + length))
  }

  #skip(numBytes: number): number {
    const from = this.#at
    if (from + numBytes > this.#bytes.length) throw new EndOfBytes()
    this.#at += numBytes
    return from
  }
}
