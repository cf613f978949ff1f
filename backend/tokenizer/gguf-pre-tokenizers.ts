/**
 * The regexes by which byte-level BPE cuts a text into words, by the name that GGUF files have for them
 * in `tokenizer.ggml.pre`. Source: llama.cpp, src/llama-vocab.cpp, llm_tokenizer_bpe and load; where it
 * adapts an original tokenizer.json's regex to its own engine, the original stands here.
 */

export type PreTokenizer = {
  /** Applied one after the other to what the one before it cut. */
  readonly regexes: readonly string[]
  /** Whether a word that is a token as a whole is not built by merges. */
  readonly ignoreMerges: boolean
  /** Whether `<s>` is put before a text where the file says nothing. */
  readonly addBos: boolean
  /**
   * Whether characters are composed first (NFC). llama.cpp does not, but the models' own tokenizers do,
   * so that is what they were trained on.
   */
  readonly composes: boolean
}

const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
const spaces = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+'
const gpt2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)"

/** @param digits the regex for digits: how many make a word */
const cl100k = (digits: string): string =>
  `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${spaces}`

const tekken =
  '[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|' +
  '[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|' +
  `\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${spaces}`

const plain = (...regexes: string[]): PreTokenizer => ({
  regexes,
  ignoreMerges: false,
  addBos: false,
  composes: false,
})
const likeLlama3: PreTokenizer = {
  regexes: [cl100k('\\p{N}{1,3}')],
  ignoreMerges: true,
  addBos: true,
  composes: false,
}
const likeGpt2 = plain(gpt2)
const likeQwen2 = plain(cl100k('\\p{N}'))
const likeStarcoder = plain('\\p{N}', gpt2)
const likeDbrx = plain(cl100k('\\p{N}{1,3}'))

const preTokenizers: ReadonlyMap<string, PreTokenizer> = new Map([
  ['default', plain('[\\p{P}$+<=>^~|]+', gpt2, '\\p{N}+', '[0-9][0-9][0-9]')],
  ['llama3', likeLlama3],
  ['llama-v3', likeLlama3],
  ['llama-bpe', likeLlama3],
  ['falcon3', likeLlama3],
  ['pixtral', likeLlama3],
  ['dbrx', likeDbrx],
  ['smaug-bpe', likeDbrx],
  ['qwen2', { ...likeQwen2, composes: true }],
  ['deepseek-r1-qwen', likeQwen2],
  ['megrez', likeQwen2],
  ['stablelm2', likeQwen2],
  ['smollm', likeStarcoder],
  ['starcoder', likeStarcoder],
  ['refact', likeStarcoder],
  ['command-r', likeStarcoder],
  ['codeshell', likeStarcoder],
  ['exaone', likeStarcoder],
  ['minerva-7b', likeStarcoder],
  ['gpt-2', likeGpt2],
  ['mpt', likeGpt2],
  ['olmo', likeGpt2],
  ['trillion', likeGpt2],
  ['tekken', { ...likeLlama3, regexes: [tekken] }],
  ['deepseek-coder', plain('[\\r\\n]', '\\s?\\p{L}+', '\\s?\\p{P}+', '[一-龥ࠀ-一가-퟿]+', '\\p{N}')],
])

/** @throws Error that lists those known */
export const preTokenizerOf = (name: string): PreTokenizer => {
  const found = preTokenizers.get(name)
  if (found !== undefined) return found
  const known = [...preTokenizers.keys()].join(', ')
  throw new Error(`its pre-tokenizer is ${JSON.stringify(name)}; supported are ${known}`)
}
