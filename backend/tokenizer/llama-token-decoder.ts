/** Ids of a LlamaTokenizer → text: SentencePiece with added tokens in between. */
import { SentencePieceDecoder, type SentencePieceDecoderData } from './sentencepiece-decoder.ts'
import type { TokenDecoder } from './token-decoder.ts'

/** What a thread is given to decode the same. */
export type LlamaTokenDecoderData = {
  readonly kind: 'llama'
  readonly sentencePiece: SentencePieceDecoderData
  /** Of tokens that are no pieces of the model, or are not decoded as such; special ones have none. */
  readonly addedTexts: ReadonlyMap<number, string>
}

export class LlamaTokenDecoder implements TokenDecoder {
  readonly data: LlamaTokenDecoderData
  readonly #sentencePiece: SentencePieceDecoder

  constructor(data: LlamaTokenDecoderData) {
    this.data = data
    this.#sentencePiece = new SentencePieceDecoder(data.sentencePiece)
  }

  decode(ids: readonly number[]): string {
    const { addedTexts } = this.data
    // What is left out is taken out first, so that the space before the first word is found, and bytes
    // on both sides join.
    const shown = ids.filter((id) => addedTexts.get(id) !== '')
    const parts: string[] = []
    let start = 0
    for (let at = 0; at <= shown.length; at += 1) {
      const id = shown[at]
      const text = id === undefined ? '' : addedTexts.get(id)
      if (text === undefined) continue
      if (at > start) {
        parts.push(this.#sentencePiece.decode(shown.slice(start, at), parts.length === 0))
      }
      parts.push(text)
      start = at + 1
    }
    return parts.join('')
  }
}
