import { vocabularyBlock } from './vocabulary-block.ts'

/**
 * The k tokens with the largest logits, by one pass with a heap of k: most of a vocabulary is passed
 * over after one comparison. Owns the heap, so that nothing is allocated for a token.
 */
export class TopTokens {
  /** A heap whose root is the worst of the tokens kept; after a selection, sorted. */
  readonly #tokens: Uint32Array
  readonly #logits: Float32Array
  #count = 0

  constructor(vocabSize: number) {
    this.#tokens = new Uint32Array(vocabSize)
    this.#logits = new Float32Array(vocabSize)
  }

  /**
   * @returns the likeliest first, of equals the one with the smaller id; fewer than k where fewer
   *   logits are numbers. Valid until the next call.
   */
  select(logits: Float32Array, k: number): Uint32Array {
    this.#count = 0
    // In blocks, as vocabulary-block.ts explains.
    for (let begin = 0; begin < logits.length; begin += vocabularyBlock)
      this.#take(logits, begin, k)
    return this.#sorted()
  }

  #take(logits: Float32Array, begin: number, k: number): void {
    const end = Math.min(begin + vocabularyBlock, logits.length)
    let token = begin
    for (; token < end && this.#count < k; token++) {
      if (!Number.isNaN(logits[token]!)) this.#add(token, logits[token]!)
    }
    if (this.#count === 0) return
    // Later ids lose against equals, so only a larger logit gets in; mostly none of four does.
    let worst = this.#logits[0]!
    for (; token + 3 < end; token += 4) {
      const a = logits[token]!
      const b = logits[token + 1]!
      const c = logits[token + 2]!
      const d = logits[token + 3]!
      if (a > worst || b > worst || c > worst || d > worst) {
        worst = this.#replaceWorst(logits, token, token + 4)
      }
    }
    this.#replaceWorst(logits, token, end)
  }

  /** @returns the worst logit of those kept then */
  #replaceWorst(logits: Float32Array, begin: number, end: number): number {
    for (let token = begin; token < end; token++) {
      if (logits[token]! > this.#logits[0]!) this.#sink(0, this.#count, token, logits[token]!)
    }
    return this.#logits[0]!
  }

  #add(token: number, logit: number): void {
    let at = this.#count++
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!this.#isWorseThan(token, logit, parent)) break
      this.#move(parent, at)
      at = parent
    }
    this.#put(at, token, logit)
  }

  /** Puts a token at `from` or below, in a heap of `count`. */
  #sink(from: number, count: number, token: number, logit: number): void {
    let at = from
    for (;;) {
      let child = 2 * at + 1
      if (child >= count) break
      const other = child + 1
      if (other < count && this.#isWorseThan(this.#tokens[other]!, this.#logits[other]!, child)) {
        child = other
      }
      if (this.#isWorseThan(token, logit, child)) break
      this.#move(child, at)
      at = child
    }
    this.#put(at, token, logit)
  }

  /** Heapsort: the worst goes to the end, again and again. */
  #sorted(): Uint32Array {
    for (let end = this.#count - 1; end > 0; end--) {
      const token = this.#tokens[end]!
      const logit = this.#logits[end]!
      this.#move(0, end)
      this.#sink(0, end, token, logit)
    }
    return this.#tokens.subarray(0, this.#count)
  }

  #isWorseThan(token: number, logit: number, at: number): boolean {
    const other = this.#logits[at]!
    return logit < other || (logit === other && token > this.#tokens[at]!)
  }

  #move(from: number, to: number): void {
    this.#put(to, this.#tokens[from]!, this.#logits[from]!)
  }

  #put(at: number, token: number, logit: number): void {
    this.#tokens[at] = token
    this.#logits[at] = logit
  }
}
