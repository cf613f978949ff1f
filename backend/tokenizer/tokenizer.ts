/** Text ↔ token ids, by the model folder's own tokenizer.json. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers'
import { ModelFolderError } from '../model-folder-error.ts'

export class Tokenizer {
  readonly #tokenizer: HuggingFaceTokenizer
  /** Characters of the longest token as it is written in the vocabulary; never shorter than its text. */
  readonly #longestToken: number

  /** @param tokenizerJson, configJson the parsed tokenizer.json and tokenizer_config.json */
  constructor(tokenizerJson: object, configJson: object) {
    this.#tokenizer = new HuggingFaceTokenizer(tokenizerJson, configJson)
    let longest = 1
    for (const token of this.#tokenizer.get_vocab(true).keys()) {
      longest = Math.max(longest, token.length)
    }
    this.#longestToken = longest
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
