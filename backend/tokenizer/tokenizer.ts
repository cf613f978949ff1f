/** Text ↔ token ids, by the model folder's own tokenizer.json. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers'
import { ModelFolderError } from '../model-folder-error.ts'

export class Tokenizer {
  readonly #tokenizer: HuggingFaceTokenizer

  /** @param tokenizerJson, configJson the parsed tokenizer.json and tokenizer_config.json */
  constructor(tokenizerJson: object, configJson: object) {
    this.#tokenizer = new HuggingFaceTokenizer(tokenizerJson, configJson)
  }

  /** Reads `tokenizer.json` and, where present, `tokenizer_config.json`. @throws ModelFolderError */
  static load(folder: string): Tokenizer {
    return new Tokenizer(
      readJsonObject(join(folder, 'tokenizer.json')),
      readJsonObject(join(folder, 'tokenizer_config.json')),
    )
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
