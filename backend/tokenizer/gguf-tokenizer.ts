/**
 * Tokenizers of GGUF files, from the fields `tokenizer.ggml.*`
 * (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md#tokenizer): `llama` is SentencePiece's BPE,
 * `gpt2` byte-level BPE. Special tokens in text become their ids, as llama.cpp does with parse_special.
 */
import type { GgufVocabulary } from '../checkpoint/gguf-vocabulary.ts'
import { ModelFolderError } from '../model-folder-error.ts'
import type { AddedToken } from './added-tokens.ts'
import { ChatTemplate } from './chat-template.ts'
import { preTokenizerOf } from './gguf-pre-tokenizers.ts'
import { HuggingFaceTokenizer } from './hugging-face-tokenizer.ts'
import { LlamaTokenizer } from './llama-tokenizer.ts'
import { PiecesBuilder, pieceTypes } from './sentencepiece-pieces.ts'
import { SentencePiece } from './sentencepiece.ts'
import type { Tokenizer } from './tokenizer.ts'

/** @param path the GGUF file's, for errors. @throws ModelFolderError for what is wrong or not supported */
export const ggufTokenizer = (path: string, vocabulary: GgufVocabulary): Tokenizer => {
  try {
    checkVocabulary(vocabulary)
    if (vocabulary.model === 'llama') return sentencePieceTokenizer(vocabulary)
    if (vocabulary.model === 'gpt2') return byteLevelTokenizer(vocabulary)
  } catch (cause) {
    throw new ModelFolderError(path, cause)
  }
  const { model } = vocabulary
  throw new ModelFolderError(
    path,
    `its tokenizer is ${JSON.stringify(model)}; supported are llama (SentencePiece BPE) and gpt2 (byte-level BPE)`,
  )
}

/** The file's chat template; null: it has none. @throws ModelFolderError */
export const ggufChatTemplate = (
  path: string,
  { chatTemplate, tokens, bosId, eosId, unknownId }: GgufVocabulary,
): ChatTemplate | null => {
  if (chatTemplate === undefined) return null
  const named = { bos_token: bosId, eos_token: eosId, unk_token: unknownId }
  const specialTokens: Record<string, string> = {}
  for (const [name, id] of Object.entries(named)) {
    const text = id === undefined ? undefined : tokens.at(id)
    if (text !== undefined) specialTokens[name] = text
  }
  try {
    return new ChatTemplate(chatTemplate, specialTokens)
  } catch (cause) {
    throw new ModelFolderError(path, cause)
  }
}

const checkVocabulary = ({ tokens, scores, tokenTypes, ...ids }: GgufVocabulary): void => {
  if (tokens.length === 0) throw new Error('its tokenizer has no tokens')
  for (const [name, list] of Object.entries({ scores, tokenTypes })) {
    if (list !== undefined && list.length !== tokens.length) {
      throw new Error(`its tokenizer has ${tokens.length} tokens but ${list.length} ${name}`)
    }
  }
  for (const [name, id] of Object.entries({ bos: ids.bosId, eos: ids.eosId })) {
    if (id !== undefined && id >= tokens.length)
      throw new Error(`its ${name} token ${id} is no token`)
  }
}

/** Tokens that llama.cpp cuts out of the text first. */
const addedTokens = ({ tokens, tokenTypes }: GgufVocabulary): AddedToken[] => {
  const added: AddedToken[] = []
  for (let id = 0; id < tokens.length; id++) {
    const type = tokenTypes?.[id]
    const special = type === pieceTypes.control || type === pieceTypes.unknown
    if (!special && type !== pieceTypes.userDefined) continue
    const content = tokens.at(id) ?? ''
    if (content === '') continue
    added.push({ id, content, special, lstrip: false, rstrip: false, singleWord: false })
  }
  return added
}

const edgeIds = (name: string, isAdded: boolean, id: number | undefined): number[] => {
  if (!isAdded) return []
  if (id === undefined) throw new Error(`its tokenizer adds a ${name} token but names none`)
  return [id]
}

const sentencePieceTokenizer = (vocabulary: GgufVocabulary): LlamaTokenizer => {
  // The ids that SentencePiece has where nothing else is said.
  const { tokens, scores, tokenTypes, bosId = 1, eosId = 2, unknownId = 0 } = vocabulary
  if (scores === undefined) throw new Error('its tokenizer has no scores')
  const pieces = new PiecesBuilder()
  let byteFallback = false
  for (let id = 0; id < tokens.length; id++) {
    const type = id === unknownId ? pieceTypes.unknown : (tokenTypes?.[id] ?? pieceTypes.normal)
    byteFallback ||= type === pieceTypes.byte
    // llama.cpp, too, names what has no name.
    pieces.add(tokens.at(id) || `[EMPTY_${id}]`, scores[id] ?? 0, type)
  }
  const sentencePiece = new SentencePiece({
    algorithm: 'bpe',
    pieces: pieces.build(),
    byteFallback,
    unknownSurface: ' \u2047 ',
    normalizer: {
      precompiledCharsMap: new Uint8Array(0),
      addDummyPrefix: vocabulary.addSpacePrefix ?? true,
      removeExtraWhitespaces: false,
      escapeWhitespaces: true,
    },
  })
  return new LlamaTokenizer(sentencePiece, {
    addedTokens: addedTokens(vocabulary),
    prefixIds: edgeIds('bos', vocabulary.addBos ?? true, bosId),
    suffixIds: edgeIds('eos', vocabulary.addEos ?? false, eosId),
    dummyPrefix: 'model',
  })
}

/** By a tokenizer.json that says the same. */
const byteLevelTokenizer = (vocabulary: GgufVocabulary): HuggingFaceTokenizer => {
  const { tokens, merges, bosId, eosId } = vocabulary
  if (merges === undefined) throw new Error('its tokenizer has no merges')
  const { regexes, ignoreMerges, addBos, composes } = preTokenizerOf(vocabulary.pre ?? 'default')
  const template = (id: number) => ({ SpecialToken: { id: tokens.at(id), type_id: 0 } })
  const single = [
    ...edgeIds('bos', vocabulary.addBos ?? (addBos && bosId !== undefined), bosId).map(template),
    { Sequence: { id: 'A', type_id: 0 } },
    ...edgeIds('eos', vocabulary.addEos ?? false, eosId).map(template),
  ]
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false }
  return new HuggingFaceTokenizer(
    {
      added_tokens: addedTokens(vocabulary).map(({ id, content, special }) => ({
        id,
        content,
        special,
        normalized: false,
      })),
      normalizer: composes ? { type: 'NFC' } : null,
      pre_tokenizer: {
        type: 'Sequence',
        pretokenizers: [
          ...regexes.map((Regex) => ({ type: 'Split', pattern: { Regex }, behavior: 'Isolated' })),
          { ...byteLevel, use_regex: false },
        ],
      },
      post_processor: { type: 'TemplateProcessing', single, pair: single },
      decoder: byteLevel,
      model: {
        type: 'BPE',
        // A token that is there twice keeps its first id.
        vocab: Object.fromEntries(
          Array.from(tokens, (token, id) => [token, id] as const).toReversed(),
        ),
        merges: Array.from(merges, mergePair),
        ignore_merges: ignoreMerges,
      },
    },
    {},
  )
}

/** The left part is at least one character, which may be the space itself. */
const mergePair = (merge: string): readonly [string, string] => {
  const middle = merge.indexOf(' ', 1)
  if (middle === -1) throw new Error(`its merge ${JSON.stringify(merge)} has no two parts`)
  return [merge.slice(0, middle), merge.slice(middle + 1)]
}
