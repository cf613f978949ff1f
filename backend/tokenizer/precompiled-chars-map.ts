/**
 * The normalisation rules inside a SentencePiece model: a double-array trie of UTF-8 strings
 * (Darts-clone) whose values are places in a list of replacements, each ended by a zero byte.
 * Layout: u32 length of the trie, the trie's u32 units, the replacements
 * (https://github.com/google/sentencepiece/blob/master/src/normalizer.cc, DecodePrecompiledCharsMap).
 */

export type CharsMapMatch = {
  readonly replacement: string
  /** Where the replaced text ends, in UTF-16 units, exclusive. */
  readonly end: number
}

/** What one character becomes: NFKC's longest has 33. */
const maxReplacementBytes = 1024

/** Bits of a unit, as in darts.h. */
const labelBits = 0x800000ff
const offsetOf = (unit: number): number => (unit >>> 10) << ((unit & 0x200) >>> 6)

export class PrecompiledCharsMap {
  readonly #trie: Uint32Array
  readonly #replacements: Uint8Array
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  /** Bounded by the number of rules. */
  readonly #decoded = new Map<number, string>()

  /** @throws Error when the lengths inside do not fit */
  constructor(blob: Uint8Array) {
    const view = new DataView(blob.buffer, blob.byteOffset, blob.byteLength)
    const trieBytes = blob.length < 4 ? -1 : view.getUint32(0, true)
    if (trieBytes < 4 || trieBytes % 4 !== 0 || trieBytes > blob.length - 4) {
      throw new Error('its normalisation rules are damaged')
    }
    this.#trie = Uint32Array.from({ length: trieBytes / 4 }, (_, index) =>
      view.getUint32(4 + index * 4, true),
    )
    this.#replacements = blob.subarray(4 + trieBytes)
    let start = 0
    for (let end = this.#replacements.indexOf(0); end !== -1;) {
      if (end - start > maxReplacementBytes) throw new Error('a normalisation rule is too long')
      start = end + 1
      end = this.#replacements.indexOf(0, start)
    }
    if (this.#replacements.length - start > maxReplacementBytes) {
      throw new Error('a normalisation rule is too long')
    }
  }

  /** The rule with the longest left side that stands at `start`. */
  longestAt(text: string, start: number): CharsMapMatch | undefined {
    let position = offsetOf(this.#trie[0]!)
    let value = -1
    let end = start
    let at = start
    /** Walks one byte. */
    const step = (byte: number): boolean => {
      position ^= byte
      const unit = this.#trie[position]
      if (unit === undefined || (unit & labelBits) >>> 0 !== byte) return false
      position ^= offsetOf(unit)
      if ((unit & 0x100) !== 0) {
        value = (this.#trie[position] ?? 0) & 0x7fffffff
        end = at
      }
      return true
    }
    while (at < text.length) {
      const point = text.codePointAt(at)!
      at += point > 0xffff ? 2 : 1
      if (!walkUtf8(point, step)) break
    }
    return value === -1 ? undefined : { replacement: this.#replacement(value), end }
  }

  #replacement(start: number): string {
    const known = this.#decoded.get(start)
    if (known !== undefined) return known
    const zero = this.#replacements.indexOf(0, start)
    const bytes = this.#replacements.subarray(start, zero === -1 ? undefined : zero)
    const text = this.#decoder.decode(bytes)
    this.#decoded.set(start, text)
    return text
  }
}

/** Calls `step` with each byte of a code point's UTF-8 until it says false. */
const walkUtf8 = (point: number, step: (byte: number) => boolean): boolean => {
  if (point < 0x80) return step(point)
  const tail = (shift: number): boolean => step(0x80 | ((point >> shift) & 0x3f))
  if (point < 0x800) return step(0xc0 | (point >> 6)) && tail(0)
  if (point < 0x10000) return step(0xe0 | (point >> 12)) && tail(6) && tail(0)
  return step(0xf0 | (point >> 18)) && tail(12) && tail(6) && tail(0)
}
