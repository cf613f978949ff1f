/**
 * The texts of a vocabulary in memory that threads share. As strings they would take ten times as much, and
 * each thread would have its own.
 */

/** What a thread is given to open the same table. */
export type TokenTableMemory = {
  /** The UTF-16 code units of all texts, one after the other. */
  readonly units: SharedArrayBuffer
  /** int32 by id: where its text ends in `units`; inverted (~) where the id has no token. */
  readonly ends: SharedArrayBuffer
}

/** Up to so many code units a string is made five times as fast piece by piece as by a Buffer. */
const shortLength = 16

const mix = (hash: number, unit: number): number => {
  const mixed = Math.imul(hash ^ unit, 0x9e3779b1)
  return mixed ^ (mixed >>> 15)
}

/** Of what stands in `text` from `start` to `end`: an int32. */
export const hashOf = (text: string, start: number, end: number, seed: number): number => {
  let hash = seed
  for (let at = start; at < end; at++) hash = mix(hash, text.charCodeAt(at))
  return hash
}

export class TokenTable {
  readonly memory: TokenTableMemory
  readonly #units: Uint16Array
  readonly #ends: Int32Array
  /** The same memory as {@link #units}: a Buffer makes strings of it. */
  readonly #bytes: Buffer

  constructor(memory: TokenTableMemory) {
    this.memory = memory
    this.#units = new Uint16Array(memory.units)
    this.#ends = new Int32Array(memory.ends)
    this.#bytes = Buffer.from(memory.units)
  }

  /** @param texts by id; undefined: the id has no token */
  static of(texts: Iterable<string | undefined>): TokenTable {
    const builder = new TokenTableBuilder()
    for (const text of texts) builder.add(text)
    return builder.build()
  }

  /** One more than the largest id. */
  get size(): number {
    return this.#ends.length
  }

  /** undefined: the id has no token. */
  text(id: number): string | undefined {
    const end = this.#ends[id]
    if (end === undefined || end < 0) return undefined
    const start = this.#start(id)
    if (end - start > shortLength) return this.#bytes.toString('utf16le', start * 2, end * 2)
    const units = this.#units
    let text = ''
    let at = start
    for (; at + 4 <= end; at += 4) {
      text += String.fromCharCode(units[at]!, units[at + 1]!, units[at + 2]!, units[at + 3]!)
    }
    for (; at < end; at++) text += String.fromCharCode(units[at]!)
    return text
  }

  /** UTF-16 code units of the token's text; 0 where there is none. */
  lengthOf(id: number): number {
    const end = this.#ends[id]
    return end === undefined || end < 0 ? 0 : end - this.#start(id)
  }

  /** Whether the token's text is what stands in `text` from `start` to `end`; false where there is no token. */
  equals(id: number, text: string, start: number, end: number): boolean {
    const ownEnd = this.#ends[id]
    if (ownEnd === undefined || ownEnd < 0) return false
    const ownStart = this.#start(id)
    if (ownEnd - ownStart !== end - start) return false
    for (let i = 0; i < end - start; i++) {
      if (this.#units[ownStart + i] !== text.charCodeAt(start + i)) return false
    }
    return true
  }

  /** Whether two tokens have the same text. */
  areEqual(a: number, b: number): boolean {
    const length = this.lengthOf(a)
    if (this.lengthOf(b) !== length) return false
    const [startOfA, startOfB] = [this.#start(a), this.#start(b)]
    for (let i = 0; i < length; i++) {
      if (this.#units[startOfA + i] !== this.#units[startOfB + i]) return false
    }
    return true
  }

  /** A hash of the token's text: the same as {@link hashOf} gives for it. */
  hash(id: number, seed: number): number {
    const start = this.#start(id)
    const end = start + this.lengthOf(id)
    let hash = seed
    for (let at = start; at < end; at++) hash = mix(hash, this.#units[at]!)
    return hash
  }

  #start(id: number): number {
    if (id === 0) return 0
    const end = this.#ends[id - 1]!
    return end < 0 ? ~end : end
  }
}

/** Makes a table text by text: no list of all has to exist. */
export class TokenTableBuilder {
  #units = new Uint16Array(1 << 12)
  #numUnits = 0
  #ends = new Int32Array(1 << 10)
  #size = 0

  /** The next id's text; undefined: it has no token. */
  add(text: string | undefined): void {
    const length = text?.length ?? 0
    const end = this.#numUnits + length
    if (end > this.#units.length) {
      const larger = new Uint16Array(Math.max(end, this.#units.length * 2))
      larger.set(this.#units)
      this.#units = larger
    }
    for (let i = 0; i < length; i++) this.#units[this.#numUnits + i] = text!.charCodeAt(i)
    this.#numUnits = end
    if (this.#size === this.#ends.length) {
      const larger = new Int32Array(this.#size * 2)
      larger.set(this.#ends)
      this.#ends = larger
    }
    this.#ends[this.#size] = text === undefined ? ~end : end
    this.#size += 1
  }

  build(): TokenTable {
    const units = new SharedArrayBuffer(this.#numUnits * Uint16Array.BYTES_PER_ELEMENT)
    new Uint16Array(units).set(this.#units.subarray(0, this.#numUnits))
    const ends = new SharedArrayBuffer(this.#size * Int32Array.BYTES_PER_ELEMENT)
    new Int32Array(ends).set(this.#ends.subarray(0, this.#size))
    return new TokenTable({ units, ends })
  }
}
