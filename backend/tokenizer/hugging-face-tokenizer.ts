/** Text ↔ token ids by a tokenizer.json, through @huggingface/tokenizers. */
import { join } from 'node:path'
import { Tokenizer as Library } from '@huggingface/tokenizers'
import { isFields, type Fields } from '../../shared/parse.ts'
import { ModelFolderError } from '../model-folder-error.ts'
import { byteOf, decodeBytes } from './byte-fallback.ts'
import { charactersPerToken } from './characters-per-token.ts'
import { checkedTokenizerJson } from './checked-tokenizer-json.ts'
import { exactTokenizerJson } from './exact-tokenizer-json.ts'
import { readJsonObject, readOptionalJsonObject } from './json-object.ts'
import { byteLevelBytes, sentencePieceBytes } from './token-bytes.ts'
import type { Tokenizer } from './tokenizer.ts'

const utf8 = new TextEncoder()

export class HuggingFaceTokenizer implements Tokenizer {
  readonly #library: Library
  readonly #specialIds: ReadonlySet<number>
  /** By id: added tokens are written as they are. */
  readonly #addedTexts: ReadonlyMap<number, string>
  readonly #hasByteFallback: boolean
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
    const added = [...this.#library.get_added_tokens_decoder()]
    this.#specialIds = new Set(added.filter(([, { special }]) => special).map(([id]) => id))
    this.#addedTexts = new Map(added.map(([id, { content }]) => [id, content]))
    this.#hasByteFallback = hasStep(json.decoder, 'ByteFallback')
    this.#isByteLevel = hasStep(json.decoder, 'ByteLevel')
    let longest = 1
    // Where an id has no token, there is undefined, whatever the library's types say.
    const tokens: Iterable<string | undefined> = this.#library.get_vocab(true).keys()
    for (const token of tokens) longest = Math.max(longest, token?.length ?? 0)
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

  decode(ids: readonly number[]): string {
    const tokens = ids.flatMap((id) => {
      // The library would put the unknown token, or fail, where there is none; the original leaves it out.
      const token = this.#specialIds.has(id) ? undefined : this.#library.id_to_token(id)
      return token === undefined ? [] : [token]
    })
    if (tokens.length === 0) return ''
    const { decoder } = this.#library
    if (decoder === null) return tokens.join(' ')
    return decoder.decode(this.#hasByteFallback ? joinByteTokens(tokens) : tokens)
  }

  tokenBytes(id: number): Uint8Array {
    const added = this.#addedTexts.get(id)
    if (added !== undefined) return utf8.encode(added)
    const piece = this.#library.id_to_token(id)
    if (piece === undefined) return new Uint8Array()
    return this.#isByteLevel ? byteLevelBytes(piece) : sentencePieceBytes(piece)
  }

  isSpecial(id: number): boolean {
    return this.#specialIds.has(id)
  }
}

const hasStep = (decoder: unknown, type: string): boolean =>
  isFields(decoder) &&
  (decoder.type === type ||
    (Array.isArray(decoder.decoders) && decoder.decoders.some((step) => hasStep(step, type))))

/**
 * Byte tokens become text before the library's ByteFallback sees them: that one loses U+FEFF, and takes
 * a cut-off character for one U+FFFD where the original has one for each byte.
 */
const joinByteTokens = (tokens: readonly string[]): string[] => {
  const joined: string[] = []
  let bytes: number[] = []
  for (const [index, token] of tokens.entries()) {
    const byte = byteOf(token)
    if (byte !== undefined) bytes.push(byte)
    if (bytes.length > 0 && (byte === undefined || index === tokens.length - 1)) {
      joined.push(decodeBytes(Uint8Array.from(bytes)))
      bytes = []
    }
    if (byte === undefined) joined.push(token)
  }
  return joined
}
