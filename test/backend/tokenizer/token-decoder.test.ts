import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { bundledModelFolder } from '../../../backend/config.ts'
import { ggufTokenizer } from '../../../backend/tokenizer/gguf-tokenizer.ts'
import { HuggingFaceTokenizer } from '../../../backend/tokenizer/hugging-face-tokenizer.ts'
import { loadTokenizer } from '../../../backend/tokenizer/load-tokenizer.ts'
import { openTokenDecoder } from '../../../backend/tokenizer/token-decoder.ts'
import type { Tokenizer } from '../../../backend/tokenizer/tokenizer.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import {
  byteLevelGguf,
  fixtureBytes,
  llamaGguf,
  readGolden,
  readLlamaGolden,
  readTokenizerJson,
  texts,
} from '../../support/tokenizer-fixtures.ts'

const llamaFolder = (): Tokenizer => {
  const folder = tempFolder()
  writeFileSync(join(folder, 'tokenizer.model'), fixtureBytes('llama-bpe.model'))
  for (const [name, json] of Object.entries(readLlamaGolden().legacy.files)) {
    writeFileSync(join(folder, name), JSON.stringify(json))
  }
  return loadTokenizer(folder)
}

/** A tokenizer.json whose decoder is none of the usual ones. */
const withDecoder = (decoder: object | null): Tokenizer =>
  new HuggingFaceTokenizer({ ...readTokenizerJson('llama-json'), decoder }, {})

test.each<[string, () => Tokenizer]>([
  ['the bundled model', () => loadTokenizer(bundledModelFolder)],
  ['Llama with added tokens', llamaFolder],
  ['SentencePiece in GGUF', () => ggufTokenizer('m.gguf', llamaGguf())],
  ['byte-level BPE in GGUF', () => ggufTokenizer('m.gguf', byteLevelGguf('smollm'))],
  ['Llama as tokenizer.json', () => new HuggingFaceTokenizer(readTokenizerJson('llama-json'), {})],
  ['Llama 3 as tokenizer.json', () => new HuggingFaceTokenizer(readTokenizerJson('llama3'), {})],
  ['WordPiece', () => withDecoder({ type: 'WordPiece', prefix: '▁', cleanup: true })],
  ['no decoder', () => withDecoder(null)],
])('what another thread opens decodes alike: %s', (_name, load) => {
  const tokenizer = load()
  // As a message to a thread does.
  const decoder = openTokenDecoder(structuredClone(tokenizer.decoderData))
  const random = readGolden('llama-bpe.json').randomIds
  for (const ids of [...texts.map((text) => tokenizer.encode(text, true)), ...random, [], [1e6]]) {
    expect(decoder.decode(ids)).toBe(tokenizer.decode(ids))
  }
})
