/** The vocabulary that a GGUF file carries, checked but not interpreted. */
import { GgufFile } from './gguf-file.ts'
import type { TextList } from './gguf-texts.ts'

/**
 * The fields `tokenizer.ggml.*` (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md#tokenizer);
 * undefined where the file does not have one.
 */
export type GgufVocabulary = {
  /** `llama` (SentencePiece BPE by scores), `gpt2` (byte-level BPE by merges), `t5` (unigram), … */
  readonly model: string
  /** Which pre-tokenizer splits the text, for `gpt2`: `llama-bpe`, `smollm`, … */
  readonly pre: string | undefined
  /** By token id. */
  readonly tokens: TextList
  /** By token id, for `llama`. */
  readonly scores: ArrayLike<number> | undefined
  /** By token id: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte. */
  readonly tokenTypes: ArrayLike<number> | undefined
  /** "left right", the first to be merged first, for `gpt2`. */
  readonly merges: TextList | undefined
  readonly bosId: number | undefined
  readonly eosId: number | undefined
  readonly unknownId: number | undefined
  readonly addBos: boolean | undefined
  readonly addEos: boolean | undefined
  readonly addSpacePrefix: boolean | undefined
  /** `tokenizer.chat_template`, in Jinja. */
  readonly chatTemplate: string | undefined
}

/** The largest known vocabulary has 900,000 tokens. */
const maxTokens = 1 << 21

/** @throws ModelFolderError when the file has no vocabulary, or one whose parts do not fit */
export const readGgufVocabulary = async (path: string): Promise<GgufVocabulary> => {
  const file = await GgufFile.open(path)
  try {
    return ggufVocabulary(file)
  } finally {
    await file.close()
  }
}

/** Of an open file, which may be closed afterwards. @throws ModelFolderError */
export const ggufVocabulary = ({ metadata }: GgufFile): GgufVocabulary => {
  const key = (name: string): string => `tokenizer.ggml.${name}`
  const model = metadata.string(key('model'))
  const tokens = metadata.strings(key('tokens'))
  if (model === undefined || tokens === undefined) throw metadata.error('it has no tokenizer')
  if (tokens.length > maxTokens) throw metadata.error(`its tokenizer has ${tokens.length} tokens`)
  const perToken = (name: string): ArrayLike<number> | undefined => {
    const values = metadata.numbers(key(name))
    if (values === undefined || values.length === tokens.length) return values
    throw metadata.error(`${key(name)} has ${values.length} values for ${tokens.length} tokens`)
  }
  const tokenId = (name: string): number | undefined => {
    const field = key(`${name}_token_id`)
    const id = metadata.index(field)
    if (id === undefined || id < tokens.length) return id
    throw metadata.error(`${field} is ${id}, but there are ${tokens.length} tokens`)
  }
  return {
    model,
    tokens,
    pre: metadata.string(key('pre')),
    scores: perToken('scores'),
    tokenTypes: perToken('token_type'),
    merges: metadata.strings(key('merges')),
    bosId: tokenId('bos'),
    eosId: tokenId('eos'),
    unknownId: tokenId('unknown'),
    addBos: metadata.boolean(key('add_bos_token')),
    addEos: metadata.boolean(key('add_eos_token')),
    addSpacePrefix: metadata.boolean(key('add_space_prefix')),
    chatTemplate: metadata.string('tokenizer.chat_template'),
  }
}
