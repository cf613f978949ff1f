/**
 * SentencePiece with special and added tokens around it, as transformers' LlamaTokenizer (the slow one,
 * tokenization_llama.py) and llama.cpp's SPM vocabulary have it.
 */
import { AddedTokens, type AddedToken } from './added-tokens.ts'
import { LlamaTokenDecoder, type LlamaTokenDecoderData } from './llama-token-decoder.ts'
import type { SentencePiece } from './sentencepiece.ts'
import type { Tokenizer } from './tokenizer.ts'

export type LlamaTokenizerOptions = {
  readonly addedTokens: readonly AddedToken[]
  /** Put before and after a text with special tokens. */
  readonly prefixIds: readonly number[]
  readonly suffixIds: readonly number[]
  /**
   * When a stretch of text gets a space before it: `model` wherever the model says so, thus also after
   * an added token (transformers' legacy behaviour, llama.cpp); `first` only at the text's beginning;
   * `never`.
   */
  readonly dummyPrefix: 'model' | 'first' | 'never'
}

export class LlamaTokenizer implements Tokenizer {
  readonly #sentencePiece: SentencePiece
  readonly #options: LlamaTokenizerOptions
  readonly #addedTokens: AddedTokens
  /** Characters of the longest token; null: not to be said. */
  readonly #longestToken: number | null
  /** Whitespace beside an added token may be no token. */
  readonly #swallowsSpace: boolean
  readonly #decoder: LlamaTokenDecoder
  /** The added tokens as they are written. */
  readonly #contentById: ReadonlyMap<number, string>

  constructor(sentencePiece: SentencePiece, options: LlamaTokenizerOptions) {
    this.#sentencePiece = sentencePiece
    this.#options = options
    this.#addedTokens = new AddedTokens(options.addedTokens)
    const { longestPiece } = sentencePiece
    this.#swallowsSpace = options.addedTokens.some(({ lstrip, rstrip }) => lstrip || rstrip)
    this.#longestToken =
      longestPiece === null
        ? null
        : options.addedTokens.reduce(
            (longest, { content }) => Math.max(longest, content.length),
            longestPiece,
          )
    this.#contentById = new Map(options.addedTokens.map(({ id, content }) => [id, content]))
    this.#decoder = new LlamaTokenDecoder({
      kind: 'llama',
      sentencePiece: sentencePiece.decoderData,
      addedTexts: new Map(
        options.addedTokens.map(({ id, content, special }) => [id, special ? '' : content]),
      ),
    })
  }

  encode(text: string, addSpecialTokens: boolean): number[] {
    const { prefixIds, suffixIds, dummyPrefix } = this.#options
    const ids = addSpecialTokens ? [...prefixIds] : []
    for (const [index, section] of this.#addedTokens.split(text.toWellFormed()).entries()) {
      if (typeof section !== 'string') {
        ids.push(section.id)
        continue
      }
      const prefix = dummyPrefix === 'model' ? undefined : dummyPrefix === 'first' && index === 0
      for (const id of this.#sentencePiece.encode(section, prefix)) ids.push(id)
    }
    if (addSpecialTokens) ids.push(...suffixIds)
    return ids
  }

  minTokens(text: string): number {
    if (this.#longestToken === null) return 0
    const counted = this.#swallowsSpace ? text.replaceAll(/[\s\u0085]+/g, '') : text
    return Math.ceil(counted.length / this.#longestToken)
  }

  get decoderData(): LlamaTokenDecoderData {
    return this.#decoder.data
  }

  decode(ids: readonly number[]): string {
    return this.#decoder.decode(ids)
  }

  tokenBytes(id: number): Uint8Array {
    const added = this.#contentById.get(id)
    return added === undefined
      ? this.#sentencePiece.pieceBytes(id)
      : new TextEncoder().encode(added)
  }

  isSpecial(id: number): boolean {
    return this.decoderData.addedTexts.get(id) === '' || this.#sentencePiece.isControl(id)
  }
}
