/** A quick hash for spreading things. Anybody can find collisions: it keeps no secrets. */

const prime = 0x01000193 // of FNV-1a, 32 bits
const offset = 0x811c9dc5
const otherOffset = 0x9e3779b9

/** MurmurHash3's finisher: every bit of the input moves every bit of the result. */
const mixed = (word: number): number => {
  let h = word
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/** Takes bytes in as they come; its value is that of all of them so far. */
export class Hash {
  #low = offset
  #high = otherOffset

  update(bytes: Uint8Array): this {
    let low = this.#low
    let high = this.#high
    for (const byte of bytes) {
      low = Math.imul(low ^ byte, prime)
      high = Math.imul(high ^ byte, prime) ^ (high >>> 15)
    }
    this.#low = low
    this.#high = high
    return this
  }

  /** 53 bits, a whole number. */
  get value(): number {
    return mixed(this.#high) * 2 ** 21 + (mixed(this.#low ^ this.#high) >>> 11)
  }
}

export const hashText = (text: string): number => new Hash().update(encoder.encode(text)).value

const encoder = new TextEncoder()
