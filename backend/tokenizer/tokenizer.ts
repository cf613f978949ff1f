/** What the rest of the backend knows of a tokenizer, whichever format it was read from. */
import type { TokenDecoder, TokenDecoderData } from './token-decoder.ts'

/** Text ↔ token ids. */
export interface Tokenizer extends TokenDecoder {
  /**
   * @param addSpecialTokens whether the tokens that begin and end a text (mostly `<s>`) are added; a
   *   chat template writes its own, so chat prompts say false. Special tokens spelled out in `text`
   *   become their ids either way.
   */
  encode(text: string, addSpecialTokens: boolean): number[]

  /**
   * So many tokens `text` has at least, or 0 where that cannot be said: known at once, where encoding
   * takes up to seconds a megabyte.
   */
  minTokens(text: string): number

  /** What decodes as this does, to be given to another thread. */
  readonly decoderData: TokenDecoderData

  /**
   * The bytes of the text that one token stands for, which may be half a character: a special token's
   * are those of its name, an id without a token has none.
   */
  tokenBytes(id: number): Uint8Array

  /** Whether `decode` leaves the token out. */
  isSpecial(id: number): boolean
}
