/**
 * SentencePiece with special and added tokens around it, as transformers' LlamaTokenizer (the slow one,
 * tokenization_llama.py) and llama.cpp's SPM vocabulary have it.
 */
import { AddedTokens, type AddedToken } from './added-tokens.ts'
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
  /** Those that are no pieces of the model, or are not decoded as such. */
  readonly #textById: ReadonlyMap<number, string>

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
    this.#textById = new Map(
      options.addedTokens.map(({ id, content, special }) => [id, special ? '' : content]),
    )
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

  decode(ids: readonly number[]): string {
    // What is left out is taken out first, so that the space before the first word is found, and bytes
    // on both sides join.
    const shown = ids.filter((id) => this.#textById.get(id) !== '')
    const parts: string[] = []
    let start = 0
    for (let at = 0; at <= shown.length; at += 1) {
      const id = shown[at]
      const text = id === undefined ? '' : this.#textById.get(id)
      if (text === undefined) continue
      if (at > start) {
        parts.push(this.#sentencePiece.decode(shown.slice(start, at), parts.length === 0))
      }
      parts.push(text)
      start = at + 1
    }
    return parts.join('')
  }

  tokenBytes(id: number): Uint8Array {
    const added = this.#contentById.get(id)
    return added === undefined
      ? this.#sentencePiece.pieceBytes(id)
      : new TextEncoder().encode(added)
  }

  isSpecial(id: number): boolean {
    return this.#textById.get(id) === '' || this.#sentencePiece.isControl(id)
  }
}
