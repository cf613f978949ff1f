/** What a converted model keeps of its GGUF file. */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { readConfigText } from '../../../backend/checkpoint/config-text.ts'
import { readGgufVocabulary } from '../../../backend/checkpoint/gguf-vocabulary.ts'
import { readTextFiles } from '../../../backend/conversion/text-files.ts'
import { readGenerationConfig } from '../../../backend/generation-config.ts'
import { loadTextFormat } from '../../../backend/tokenizer/load-tokenizer.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../../fixtures/gguf-models/${name}.gguf`, import.meta.url))

test.each(['llama3', 'mistral', 'qwen2', 'qwen2-yarn', 'qwen3'])(
  'configuration and vocabulary of %s.gguf are all there without its tensors',
  async (name) => {
    const folder = join(tempFolder(), 'converted')
    mkdirSync(folder)
    for (const [file, bytes] of await readTextFiles(fixture(name))) {
      writeFileSync(join(folder, file), bytes)
    }
    expect(readdirSync(folder).toSorted()).toEqual(['config.json', 'vocabulary.gguf'])
    for (const file of ['manifest.json', 'checksums.txt']) writeFileSync(join(folder, file), '')
    expect((await readConfigText(folder)).text).toBe((await readConfigText(fixture(name))).text)
    expect(await readGgufVocabulary(join(folder, 'vocabulary.gguf'))).toEqual(
      await readGgufVocabulary(fixture(name)),
    )
    expect(await readGenerationConfig(folder)).toEqual(await readGenerationConfig(fixture(name)))
    const [before, after] = [await loadTextFormat(fixture(name)), await loadTextFormat(folder)]
    const text = 'Hello, 世界 42'
    expect(after.tokenizer.encode(text, true)).toEqual(before.tokenizer.encode(text, true))
    expect(after.chatTemplate === null).toBe(before.chatTemplate === null)
  },
)
