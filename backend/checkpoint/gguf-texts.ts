/** A list of texts as it stands in a GGUF file: vocabularies have hundreds of thousands, of which few are looked at. */

/** What an array of strings is, too. */
export type TextList = Iterable<string> & {
  readonly length: number
  at(index: number): string | undefined
}

/** Each text becomes a string whenever it is asked for. */
export class GgufTexts implements TextList {
  readonly #bytes: Buffer
  readonly #ranges: Uint32Array

  /** @param ranges where each text begins in `bytes`, and where it ends; all are UTF-8 */
  constructor(bytes: Uint8Array, ranges: Uint32Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#ranges = ranges
  }

  get length(): number {
    return this.#ranges.length / 2
  }

  at(index: number): string | undefined {
    const from = this.#ranges[2 * index]
    if (from === undefined) return undefined
    return this.#bytes.toString('utf8', from, this.#ranges[2 * index + 1])
  }

  *[Symbol.iterator](): Generator<string> {
    for (let index = 0; index < this.length; index++) yield this.at(index) ?? ''
  }
}
