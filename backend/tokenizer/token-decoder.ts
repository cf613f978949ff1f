/**
 * The half of a tokenizer that makes text of ids. The engine's thread needs no more, and a vocabulary of its
 * own, with all that encoding wants, would be tens of megabytes: it is given what decodes, in shared memory.
 */
import { JsonTokenDecoder, type JsonTokenDecoderData } from './json-token-decoder.ts'
import { LlamaTokenDecoder, type LlamaTokenDecoderData } from './llama-token-decoder.ts'

export interface TokenDecoder {
  /**
   * The text of `ids` without special tokens. Bytes that are no UTF-8 become U+FFFD; ids without a
   * token (a vocabulary padded for the matrix's sake) give nothing.
   */
  decode(ids: readonly number[]): string
}

/** What can be posted to another thread, to decode there as here. */
export type TokenDecoderData = JsonTokenDecoderData | LlamaTokenDecoderData

export const openTokenDecoder = (data: TokenDecoderData): TokenDecoder =>
  data.kind === 'json' ? new JsonTokenDecoder(data) : new LlamaTokenDecoder(data)
