/** The vocabulary that a GGUF file carries, checked but not interpreted. */
import type { GgufFile } from './gguf-file.ts'

/** Ids are null where the file names none. */
export type GgufTokenizer = {
  /** `llama` (SentencePiece BPE by scores), `gpt2` (byte-level BPE by merges), `t5` (unigram), … */
  readonly model: string
  /** Which pre-tokenizer splits the text, for `gpt2`: `llama-bpe`, `smollm`, … */
  readonly pre: string | null
  /** By id. */
  readonly tokens: readonly string[]
  /** One for each token. */
  readonly scores: ArrayLike<number> | null
  /** One for each token: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte. */
  readonly types: ArrayLike<number> | null
  /** Pairs with a space between, best first. */
  readonly merges: readonly string[] | null
  readonly bosToken: number | null
  readonly eosToken: number | null
  /** Ends a turn. */
  readonly eotToken: number | null
  readonly unknownToken: number | null
  readonly separatorToken: number | null
  readonly paddingToken: number | null
  readonly addsBos: boolean | null
  readonly addsEos: boolean | null
  readonly addsSpacePrefix: boolean | null
  readonly removesExtraWhitespace: boolean | null
  /** SentencePiece's compiled normalisation rules. */
  readonly precompiledCharsmap: Uint8Array | null
  /** In Jinja. */
  readonly chatTemplate: string | null
}

/**
 * The tokenizer of an open file, which may be closed afterwards.
 * @throws ModelFolderError when it has none, or one whose parts do not fit each other
 */
export const ggufTokenizer = ({ metadata }: GgufFile): GgufTokenizer => {
  const key = (name: string): string => `tokenizer.ggml.${name}`
  const model = metadata.string(key('model'))
  const tokens = metadata.strings(key('tokens'))
  if (model === undefined || tokens === undefined) throw metadata.error('it has no tokenizer')
  const perToken = (name: string): ArrayLike<number> | null => {
    const values = metadata.numbers(key(name)) ?? null
    if (values === null || values.length === tokens.length) return values
    throw metadata.error(`${key(name)} has ${values.length} values for ${tokens.length} tokens`)
  }
  const token = (name: string): number | null => {
    const id = metadata.index(key(`${name}_token_id`)) ?? null
    if (id === null || id < tokens.length) return id
    throw metadata.error(
      `${key(`${name}_token_id`)} is ${id}, but there are ${tokens.length} tokens`,
    )
  }
  const charsmap = metadata.numbers(key('precompiled_charsmap'))
  return {
    model,
    pre: metadata.string(key('pre')) ?? null,
    tokens,
    scores: perToken('scores'),
    types: perToken('token_type'),
    merges: metadata.strings(key('merges')) ?? null,
    bosToken: token('bos'),
    eosToken: token('eos'),
    eotToken: token('eot'),
    unknownToken: token('unknown'),
    // The format's own spelling.
    separatorToken: token('seperator'),
    paddingToken: token('padding'),
    addsBos: metadata.boolean(key('add_bos_token')) ?? null,
    addsEos: metadata.boolean(key('add_eos_token')) ?? null,
    addsSpacePrefix: metadata.boolean(key('add_space_prefix')) ?? null,
    removesExtraWhitespace: metadata.boolean(key('remove_extra_whitespaces')) ?? null,
    precompiledCharsmap: charsmap === undefined ? null : Uint8Array.from(charsmap),
    chatTemplate: metadata.string('tokenizer.chat_template') ?? null,
  }
}
