import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { bundledModelFolder } from '../../backend/config.ts'
import { readGenerationConfig } from '../../backend/generation-config.ts'
import { ModelFolderError } from '../../backend/model-folder-error.ts'
import { tempFolder } from '../support/temp-folder.ts'

const folderWith = (files: Readonly<Record<string, string>>): string => {
  const folder = tempFolder()
  // Which weights there are says where the configuration is.
  writeFileSync(join(folder, 'model.safetensors'), '')
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  return folder
}

const plain = { temperature: 1, topP: 1, topK: 0, minP: 0, repetitionPenalty: 1 }

test('the bundled model says how it wants to be sampled', async () => {
  expect(await readGenerationConfig(bundledModelFolder)).toEqual({
    endOfSequenceTokens: [1],
    samplingDefaults: { ...plain, temperature: 0.3, topP: 0.9 },
  })
})

test('without the file the end tokens are those of config.json, and nothing restricts', async () => {
  expect(await readGenerationConfig(folderWith({ 'config.json': '{"eos_token_id": 2}' }))).toEqual({
    endOfSequenceTokens: [2],
    samplingDefaults: plain,
  })
})

test.each([
  [{ eos_token_id: [7, 8] }, [7, 8], plain],
  [{ eos_token_id: null, top_k: 50, top_p: 0.5 }, [2], { ...plain, topP: 0.5, topK: 50 }],
  [{ do_sample: false, temperature: 0.6 }, [2], { ...plain, temperature: 0 }],
  [{ min_p: 0.1, repetition_penalty: 1.05 }, [2], { ...plain, minP: 0.1, repetitionPenalty: 1.05 }],
  [{ temperature: 0, top_p: null, top_k: -1 }, [2], { ...plain, temperature: 0 }],
])('%j is read', async (generation, endOfSequenceTokens, samplingDefaults) => {
  const folder = folderWith({
    'config.json': '{"eos_token_id": 2}',
    'generation_config.json': JSON.stringify(generation),
  })
  expect(await readGenerationConfig(folder)).toEqual({ endOfSequenceTokens, samplingDefaults })
})

test.each([
  ['{', 'JSON'],
  ['[]', 'no JSON object'],
  ['{"temperature": "0.3"}', 'temperature must be a number'],
  ['{"top_p": -1}', 'top_p must be a number'],
  ['{"do_sample": "no"}', 'do_sample must be true or false'],
  ['{"eos_token_id": "</s>"}', 'eos_token_id must be a token id'],
])('%s is refused, and the file is named', async (text, reason) => {
  const folder = folderWith({ 'config.json': '{}', 'generation_config.json': text })
  const read = () => readGenerationConfig(folder)
  await expect(read()).rejects.toThrow(ModelFolderError)
  await expect(read()).rejects.toThrow(join(folder, 'generation_config.json'))
  await expect(read()).rejects.toThrow(reason)
})
