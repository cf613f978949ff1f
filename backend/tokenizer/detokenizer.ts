/**
 * Turns a growing list of token ids into text, piece by piece. A character whose bytes are spread
 * over several tokens is held back until it is whole.
 *
 * Tokens are decoded together with the ones just before them, since a tokenizer's decoder may treat
 * the beginning of its input differently (a leading space, a run of byte tokens).
 */
import type { Tokenizer } from './tokenizer.ts'

const replacement = '\uFFFD'

/** A character has at most 4 bytes, so 4 one-byte tokens; more that stay incomplete never will be whole. */
const maxHeldTokens = 8

/** Enough for any decoder's treatment of the beginning of its input. */
const maxContextTokens = 5

export class Detokenizer {
  readonly #tokenizer: Pick<Tokenizer, 'decode'>
  /** Tokens whose text is out and that give the next ones their context. */
  #context: number[] = []
  /** Tokens whose text is not out yet. */
  #held: number[] = []

  /** @param promptTail the last tokens of the prompt, which the first new token follows */
  constructor(tokenizer: Pick<Tokenizer, 'decode'>, promptTail: readonly number[] = []) {
    this.#tokenizer = tokenizer
    this.#context = promptTail.slice(-maxContextTokens)
  }

  /** The text that `token` completes; may be empty. */
  push(token: number): string {
    this.#held.push(token)
    const whole = this.#decodeAll()
    if (whole.endsWith(replacement) && this.#held.length < maxHeldTokens) return ''
    const text = this.#newText(whole)
    this.#context = this.#held
    this.#held = []
    return text
  }

  /** The text still held back when no more tokens come; incomplete bytes show as U+FFFD. */
  flush(): string {
    const text = this.#held.length === 0 ? '' : this.#newText(this.#decodeAll())
    this.#held = []
    return text
  }

  #decodeAll(): string {
    return this.#tokenizer.decode([...this.#context, ...this.#held])
  }

  #newText(whole: string): string {
    return whole.slice(commonLength(this.#tokenizer.decode(this.#context), whole))
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
