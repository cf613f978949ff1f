/** A tokenizer whose encoding ends, whatever regexes and vocabulary its files have. */
import { InvalidRequest } from '../../shared/errors.ts'
import { TimeLimitExceeded, withTimeLimit } from './time-limit.ts'
import type { Tokenizer } from './tokenizer.ts'

/** A megabyte takes some seconds; other long texts wait for it. */
const defaultMaxSeconds = 8

export class TextTakesTooLong extends InvalidRequest {
  readonly seconds: number

  constructor(seconds: number) {
    super(`The text takes this model's tokenizer longer than ${seconds} s: send a shorter one.`)
    this.seconds = seconds
  }
}

/** `encode` throws TextTakesTooLong for a text that takes too long. */
export const timeLimited = (tokenizer: Tokenizer, seconds = defaultMaxSeconds): Tokenizer => ({
  encode: (text, addSpecialTokens) => {
    try {
      return withTimeLimit(seconds, () => tokenizer.encode(text, addSpecialTokens))
    } catch (error) {
      if (!(error instanceof TimeLimitExceeded)) throw error
      throw new TextTakesTooLong(seconds)
    }
  },
  minTokens: (text) => tokenizer.minTokens(text),
  decode: (ids) => tokenizer.decode(ids),
  tokenBytes: (id) => tokenizer.tokenBytes(id),
  isSpecial: (id) => tokenizer.isSpecial(id),
})
