/** Ids of a tokenizer.json → text, by the decoders of @huggingface/tokenizers. */
import { Tokenizer as Library } from '@huggingface/tokenizers'
import { isFields } from '../../shared/parse.ts'
import { byteOf, decodeBytes } from './byte-fallback.ts'
import type { TokenDecoder } from './token-decoder.ts'
import { TokenTable, type TokenTableMemory } from './token-table.ts'

/** What a thread is given to decode the same. */
export type JsonTokenDecoderData = {
  readonly kind: 'json'
  readonly tokens: TokenTableMemory
  readonly specialIds: ReadonlySet<number>
  /** Tokens that are written as they are. */
  readonly addedTexts: readonly string[]
  /** `decoder` of the tokenizer.json. */
  readonly decoder: unknown
}

export class JsonTokenDecoder implements TokenDecoder {
  readonly data: JsonTokenDecoderData
  readonly #tokens: TokenTable
  readonly #decoder: Library['decoder']
  readonly #hasByteFallback: boolean

  /** @throws Error for a decoder that the library does not know */
  constructor(data: JsonTokenDecoderData) {
    this.data = data
    this.#tokens = new TokenTable(data.tokens)
    this.#decoder = decoderOf(data)
    this.#hasByteFallback = hasStep(data.decoder, 'ByteFallback')
  }

  decode(ids: readonly number[]): string {
    const tokens = ids.flatMap((id) => {
      // The library would put the unknown token, or fail, where there is none; the original leaves it out.
      const token = this.data.specialIds.has(id) ? undefined : this.#tokens.text(id)
      return token === undefined ? [] : [token]
    })
    if (tokens.length === 0) return ''
    if (this.#decoder === null) return tokens.join(' ')
    return this.#decoder.decode(this.#hasByteFallback ? joinByteTokens(tokens) : tokens)
  }
}

/** The library makes decoders only as parts of a tokenizer: this one has no vocabulary. */
const decoderOf = ({ decoder, addedTexts }: JsonTokenDecoderData): Library['decoder'] => {
  const library = new Library(
    {
      added_tokens: addedTexts.map((content, id) => ({ content, id, normalized: false })),
      normalizer: null,
      pre_tokenizer: null,
      post_processor: null,
      decoder,
      model: { type: 'BPE', vocab: {}, merges: [] },
    },
    {},
  )
  return library.decoder
}

/** Whether a decoder of a tokenizer.json is one of this type, or has such a step. */
export const hasStep = (decoder: unknown, type: string): boolean =>
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
