/**
 * Turns a growing list of token ids into text, piece by piece. A character whose bytes are spread
 * over several tokens is held back until it is whole.
 *
 * Tokens are decoded together with the ones just before them, since a tokenizer's decoder may treat
 * the beginning of its input differently (a leading space, a run of byte tokens).
 */
import type { TokenDecoder } from './token-decoder.ts'

const replacement = '\uFFFD'

/** A character has at most 4 bytes, so 4 one-byte tokens; more that stay incomplete never will be whole. */
const maxHeldTokens = 8

/** A character that is not whole yet has at most 3 bytes. */
const maxIncompleteTokens = 3

/** Enough for any decoder's treatment of the beginning of its input. */
const maxContextTokens = 5

export class Detokenizer {
  readonly #decoder: TokenDecoder
  /** Tokens whose text is out and that give the next ones their context. */
  #context: number[] = []
  /** Tokens whose text is not out yet. */
  #held: number[] = []

  /** @param promptTail the last tokens of the prompt, which the first new token follows */
  constructor(decoder: TokenDecoder, promptTail: readonly number[] = []) {
    this.#decoder = decoder
    this.#context = promptTail.slice(-maxContextTokens)
  }

  /** The text that `token` completes; may be empty. */
  push(token: number): string {
    this.#held.push(token)
    const whole = this.#decoder.decode([...this.#context, ...this.#held])
    if (!whole.endsWith(replacement)) return this.#release(this.#held.length)
    return this.#held.length < maxHeldTokens ? '' : this.#release(this.#settledTokens())
  }

  /** The text still held back when no more tokens come; incomplete bytes show as U+FFFD. */
  flush(): string {
    return this.#release(this.#held.length)
  }

  /** Lets the first `count` tokens go. */
  #release(count: number): string {
    const tokens = this.#held.slice(0, count)
    const text = this.#textOf(tokens)
    // Tokens without text, such as special ones, give no context: the next one would look like a
    // beginning and lose its space.
    if (text !== '') this.#context = tokens
    else if (this.#decoder.decode(this.#context) === '') {
      this.#context = [...this.#context, ...tokens].slice(-maxContextTokens)
    }
    this.#held = this.#held.slice(count)
    return text
  }

  /**
   * How many of the held tokens no later byte can change: those that are followed by as many as an
   * incomplete character may have, where a cut leaves both sides' text as it is.
   */
  #settledTokens(): number {
    const whole = this.#textOf(this.#held).length
    for (let count = this.#held.length - maxIncompleteTokens; count > 0; count -= 1) {
      const left = this.#textOf(this.#held.slice(0, count)).length
      if (left + this.#decoder.decode(this.#held.slice(count)).length === whole) return count
    }
    return this.#held.length
  }

  #textOf(tokens: readonly number[]): string {
    const before = this.#decoder.decode(this.#context)
    const whole = this.#decoder.decode([...this.#context, ...tokens])
    return whole.slice(commonLength(before, whole))
  }
}

/**
 * How much of `whole` stood before. Mostly all of `before`; but where that ended with half a
 * character, the character that the new tokens complete is new.
 */
const commonLength = (before: string, whole: string): number => {
  if (whole.startsWith(before)) return before.length
  let length = 0
  while (length < before.length && before[length] === whole[length]) length++
  return length
}
