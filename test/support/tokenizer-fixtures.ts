/** The models and goldens of test/fixtures/tokenizers; generate.py there says how they were made. */
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import type { GgufVocabulary } from '../../backend/checkpoint/gguf-vocabulary.ts'
import { parseSentencePieceModel } from '../../backend/tokenizer/sentencepiece-model.ts'

/** What an original library makes of the texts, and of random ids. */
export type Golden = {
  readonly ids: number[][]
  /** null: the text itself. */
  readonly decoded: (string | null)[]
  readonly randomIds: number[][]
  readonly randomDecoded: string[]
}

type LlamaGolden = {
  readonly files: Record<string, object>
  readonly ids: number[][]
  /** Of `specials`, without special tokens at the ends. */
  readonly withoutSpecials: number[][]
}

export const fixtureBytes = (name: string): Uint8Array => {
  const bytes = readFileSync(new URL(`../fixtures/tokenizers/${name}`, import.meta.url))
  return name.endsWith('.gz') ? gunzipSync(bytes) : bytes
}

const text = (name: string): string => new TextDecoder().decode(fixtureBytes(name))

/** More than 300: Chinese, English, code, emoji, controls, whitespace, random characters and bytes. */
export const texts: readonly string[] = JSON.parse(text('texts.json'))

export const readGolden = (name: string): Golden => ({
  randomIds: [],
  randomDecoded: [],
  ...JSON.parse(text(name)),
})

export const goldenDecoded = ({ decoded }: Golden): string[] =>
  decoded.map((text, index) => text ?? texts[index] ?? '')

export const readLlamaGolden = (): {
  readonly texts: string[]
  readonly specials: string[]
  readonly legacy: LlamaGolden
  readonly modern: LlamaGolden
} => JSON.parse(text('llama-tokenizer.json'))

/** The byte-level vocabulary that the tokenizer.json files leave out, and GGUF's. */
const byteLevel = (): { vocab: Record<string, number>; merges: [string, string][] } =>
  JSON.parse(text('byte-level.json.gz'))

export const readTokenizerJson = (name: string): object => {
  const { tokenizer } = JSON.parse(text(`${name}.json.gz`))
  return { ...tokenizer, model: { ...byteLevel(), ...tokenizer.model } }
}

/** What llama.cpp makes of the texts, by pre-tokenizer, and `llama`. */
export const readGgufGolden = (): Record<string, number[][]> => JSON.parse(text('gguf.json.gz'))

const nothingElse = {
  scores: undefined,
  tokenTypes: undefined,
  merges: undefined,
  pre: undefined,
  bosId: undefined,
  eosId: undefined,
  unknownId: undefined,
  addBos: undefined,
  addEos: undefined,
  addSpacePrefix: undefined,
  chatTemplate: undefined,
}

/** llama-bpe.model as GGUF has it. */
export const llamaGguf = (): GgufVocabulary => {
  const { pieces } = parseSentencePieceModel('llama-bpe.model', fixtureBytes('llama-bpe.model'))
  const ids = Array.from({ length: pieces.size }, (_, id) => id)
  return {
    ...nothingElse,
    model: 'llama',
    tokens: ids.map((id) => pieces.text(id)),
    scores: ids.map((id) => pieces.score(id)),
    tokenTypes: ids.map((id) => pieces.type(id) ?? 0),
  }
}

export const byteLevelGguf = (pre: string): GgufVocabulary => {
  const { vocab, merges } = byteLevel()
  const tokens = Object.keys(vocab).sort((a, b) => (vocab[a] ?? 0) - (vocab[b] ?? 0))
  return {
    ...nothingElse,
    model: 'gpt2',
    pre,
    tokens,
    tokenTypes: tokens.map((token) => (token === '<s>' || token === '</s>' ? 3 : 1)),
    merges: merges.map((pair) => pair.join(' ')),
  }
}
