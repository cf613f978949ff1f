/** What the rest of the backend knows of a tokenizer, whichever format it was read from. */

/** Text ↔ token ids. */
export interface Tokenizer {
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

  /**
   * The text of `ids` without special tokens. Bytes that are no UTF-8 become U+FFFD; ids without a
   * token (a vocabulary padded for the matrix's sake) give nothing.
   */
  decode(ids: readonly number[]): string

  /**
   * The bytes of the text that one token stands for, which may be half a character: a special token's
   * are those of its name, an id without a token has none.
   */
  tokenBytes(id: number): Uint8Array

  /** Whether `decode` leaves the token out. */
  isSpecial(id: number): boolean
}
