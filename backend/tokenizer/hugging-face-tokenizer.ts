/** Text ↔ token ids by a tokenizer.json, through @huggingface/tokenizers. */
import { join } from 'node:path'
import { Tokenizer as Library } from '@huggingface/tokenizers'
import type { Fields } from '../../shared/parse.ts'
import { ModelFolderError } from '../model-folder-error.ts'
import { charactersPerToken } from './characters-per-token.ts'
import { checkedTokenizerJson } from './checked-tokenizer-json.ts'
import { exactTokenizerJson } from './exact-tokenizer-json.ts'
import { readJsonObject, readOptionalJsonObject } from './json-object.ts'
import { hasStep, JsonTokenDecoder, type JsonTokenDecoderData } from './json-token-decoder.ts'
import { byteLevelBytes, sentencePieceBytes } from './token-bytes.ts'
import { TokenTable } from './token-table.ts'
import type { Tokenizer } from './tokenizer.ts'

const utf8 = new TextEncoder()

export class HuggingFaceTokenizer implements Tokenizer {
  readonly #library: Library
  readonly #tokens: TokenTable
  readonly #decoder: JsonTokenDecoder
  /** By id: added tokens are written as they are. */
  readonly #addedTexts: ReadonlyMap<number, string>
  readonly #isByteLevel: boolean
  /** Characters of a text that one token can stand for at most; null: not to be said. */
  readonly #longestToken: number | null

  /**
   * @param tokenizerJson, configJson the parsed tokenizer.json and tokenizer_config.json
   * @throws Error when it needs what the library cannot do
   */
  constructor(tokenizerJson: object, configJson: object) {
    const json: Fields = checkedTokenizerJson({ ...tokenizerJson })
    this.#library = new Library(exactTokenizerJson(json), configJson)
    this.#tokens = TokenTable.of(vocabularyOf(this.#library))
    const added = [...this.#library.get_added_tokens_decoder()]
    this.#addedTexts = new Map(added.map(([id, { content }]) => [id, content]))
    this.#isByteLevel = hasStep(json.decoder, 'ByteLevel')
    this.#decoder = new JsonTokenDecoder({
      kind: 'json',
      tokens: this.#tokens.memory,
      specialIds: new Set(added.filter(([, { special }]) => special).map(([id]) => id)),
      addedTexts: [...this.#addedTexts.values()],
      decoder: json.decoder,
    })
    let longest = 1
    for (let id = 0; id < this.#tokens.size; id++) {
      longest = Math.max(longest, this.#tokens.lengthOf(id))
    }
    this.#longestToken = charactersPerToken(json, longest)
  }

  /** Reads `tokenizer.json` and, where present, `tokenizer_config.json`. @throws ModelFolderError */
  static load(folder: string): HuggingFaceTokenizer {
    const path = join(folder, 'tokenizer.json')
    const json = readJsonObject(path)
    const config = readOptionalJsonObject(join(folder, 'tokenizer_config.json'))
    try {
      return new HuggingFaceTokenizer(json, config)
    } catch (cause) {
      throw new ModelFolderError(path, cause)
    }
  }

  encode(text: string, addSpecialTokens: boolean): number[] {
    const options = { add_special_tokens: addSpecialTokens }
    // A character that has no token, where there is no unknown token either, comes as undefined.
    const ids: readonly (number | undefined)[] = this.#library.encode(
      text.toWellFormed(),
      options,
    ).ids
    return ids.filter((id) => id !== undefined)
  }

  minTokens(text: string): number {
    return this.#longestToken === null ? 0 : Math.ceil(text.length / this.#longestToken)
  }

  get decoderData(): JsonTokenDecoderData {
    return this.#decoder.data
  }

  decode(ids: readonly number[]): string {
    return this.#decoder.decode(ids)
  }

  tokenBytes(id: number): Uint8Array {
    const added = this.#addedTexts.get(id)
    if (added !== undefined) return utf8.encode(added)
    const piece = this.#tokens.text(id)
    if (piece === undefined) return new Uint8Array()
    return this.#isByteLevel ? byteLevelBytes(piece) : sentencePieceBytes(piece)
  }

  isSpecial(id: number): boolean {
    return this.decoderData.specialIds.has(id)
  }
}

/** By id; where an id has no token, there is undefined, whatever the library's types say. */
function* vocabularyOf({ model }: Library): Generator<string | undefined> {
  const tokens: readonly unknown[] = model?.vocab ?? []
  for (const token of tokens) yield typeof token === 'string' ? token : undefined
}
