/** Text ↔ token ids, by the model folder's own tokenizer.json. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers'
import { isFields } from '../../shared/parse.ts'
import { ModelFolderError } from '../model-folder-error.ts'
import { byteLevelBytes, sentencePieceBytes } from './token-bytes.ts'

export class Tokenizer {
  readonly #tokenizer: HuggingFaceTokenizer
  /** Characters of the longest token as it is written in the vocabulary; never shorter than its text. */
  readonly #longestToken: number
  readonly #isByteLevel: boolean
  readonly #addedTokens: ReadonlyMap<
    number,
    { readonly content: string; readonly special: boolean }
  >

  /** @param tokenizerJson, configJson the parsed tokenizer.json and tokenizer_config.json */
  constructor(tokenizerJson: object, configJson: object) {
    this.#tokenizer = new HuggingFaceTokenizer(tokenizerJson, configJson)
    let longest = 1
    for (const token of this.#tokenizer.get_vocab(true).keys()) {
      longest = Math.max(longest, token.length)
    }
    this.#longestToken = longest
    this.#addedTokens = this.#tokenizer.get_added_tokens_decoder()
    this.#isByteLevel = hasByteLevelDecoder(tokenizerJson)
  }

  /** Reads `tokenizer.json` and `tokenizer_config.json`. @throws ModelFolderError */
  static load(folder: string): Tokenizer {
    const path = join(folder, 'tokenizer.json')
    const tokenizerJson = readJsonObject(path)
    const configJson = readJsonObject(join(folder, 'tokenizer_config.json'))
    try {
      return new Tokenizer(tokenizerJson, configJson)
    } catch (cause) {
      throw new ModelFolderError(path, cause)
    }
  }

  /** So many tokens `text` has at least: known at once, where encoding takes seconds a megabyte. */
  minTokens(text: string): number {
    return Math.ceil(text.length / this.#longestToken)
  }

  /**
   * @param addSpecialTokens whether the post-processor's tokens (mostly `<s>`) are added; a chat
   *   template writes its own, so chat prompts say false.
   */
  encode(text: string, addSpecialTokens: boolean): number[] {
    return this.#tokenizer.encode(text, { add_special_tokens: addSpecialTokens }).ids
  }

  /** The text of `ids` without special tokens; bytes that are no UTF-8 become U+FFFD. */
  decode(ids: readonly number[]): string {
    if (ids.length === 0) return ''
    return this.#tokenizer.decode([...ids], {
      skip_special_tokens: true,
      clean_up_tokenization_spaces: false,
    })
  }

  /** The bytes of the text that one token stands for; none for an id without a token. */
  tokenBytes(id: number): Uint8Array {
    const added = this.#addedTokens.get(id)
    if (added) return new TextEncoder().encode(added.content)
    const piece = this.#tokenizer.id_to_token(id)
    if (piece === undefined) return new Uint8Array()
    return this.#isByteLevel ? byteLevelBytes(piece) : sentencePieceBytes(piece)
  }

  /** Whether the token is left out of the text. */
  isSpecial(id: number): boolean {
    return this.#addedTokens.get(id)?.special ?? false
  }
}

const hasByteLevelDecoder = (tokenizerJson: object): boolean => {
  const decoder: unknown = 'decoder' in tokenizerJson ? tokenizerJson.decoder : null
  if (!isFields(decoder)) return false
  const { decoders } = decoder
  const steps: readonly unknown[] = Array.isArray(decoders) ? decoders : [decoder]
  return steps.some((step) => isFields(step) && step.type === 'ByteLevel')
}

/** A JSON object from a file of the model folder. @throws ModelFolderError */
export const readJsonObject = (path: string): object => {
  let value: unknown
  try {
    value = JSON.parse(readFileSync(path, 'utf8'))
  } catch (cause) {
    throw new ModelFolderError(path, cause)
  }
  if (typeof value !== 'object' || value === null)
    throw new ModelFolderError(path, 'no JSON object')
  return value
}
