/** Names the tokens of one choice for the client, and tells where in the choice's text each begins. */
import type { AnswerLogprob, NamedLogprob } from '../../shared/openai/logprobs.ts'
import type { Logprob, TokenLogprob } from '../engine/generation.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'

export type TokenNames = Pick<Tokenizer, 'tokenBytes' | 'isSpecial'>

export class ChoiceLogprobs {
  readonly #tokenizer: TokenNames
  /** Characters that have begun. */
  #characters: number

  /** @param echo the text before the first token */
  constructor(tokenizer: TokenNames, echo: string) {
    this.#tokenizer = tokenizer
    this.#characters = [...echo].length
  }

  /** The next token of the choice. */
  next({ token, logprob, top }: TokenLogprob): AnswerLogprob {
    const named = this.#named({ token, logprob })
    const [first] = named.bytes
    // A token that begins inside a character begins where the character does.
    const isInside = first !== undefined && isContinuation(first) && this.#characters > 0
    const textOffset = this.#characters - (isInside ? 1 : 0)
    // Special tokens have no part in the text.
    if (!this.#tokenizer.isSpecial(token)) {
      for (const byte of named.bytes) if (!isContinuation(byte)) this.#characters++
    }
    return { ...named, top: top.map((one) => this.#named(one)), textOffset }
  }

  #named({ token, logprob }: Logprob): NamedLogprob {
    return { bytes: this.#tokenizer.tokenBytes(token), logprob }
  }
}

/** 10xxxxxx in UTF-8: not the first byte of a character. */
export const isContinuation = (byte: number): boolean => (byte & 0xc0) === 0x80
