/** How the model itself wants to be sampled and when it ends. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { isFields, type Fields } from '../shared/parse.ts'
import { ModelFolderError } from './model-folder-error.ts'
import type { SamplingDefaults } from './served-model.ts'

export type GenerationConfig = {
  readonly endOfSequenceTokens: readonly number[]
  readonly samplingDefaults: SamplingDefaults
}

/**
 * generation_config.json where there is one, else the end tokens of config.json and OpenAI's
 * defaults.
 * @throws ModelFolderError
 */
export const readGenerationConfig = (folder: string): GenerationConfig => {
  const config = readJson(join(folder, 'config.json')) ?? {}
  const generation = readJson(join(folder, 'generation_config.json')) ?? {}
  const endOfSequence = generation.eos_token_id ?? config.eos_token_id
  const ends: unknown[] = Array.isArray(endOfSequence) ? endOfSequence : [endOfSequence]
  return {
    endOfSequenceTokens: ends.filter((token): token is number => Number.isSafeInteger(token)),
    samplingDefaults: {
      temperature: generation.do_sample === false ? 0 : number(generation.temperature, 1),
      topP: number(generation.top_p, 1),
      topK: number(generation.top_k, 0),
    },
  }
}

const number = (value: unknown, fallback: number): number =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : fallback

/** null where there is no such file. */
const readJson = (path: string): Fields | null => {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    return null
  }
  try {
    const value: unknown = JSON.parse(text)
    if (!isFields(value)) throw new Error('it is no JSON object')
    return value
  } catch (cause) {
    throw new ModelFolderError(path, cause)
  }
}
