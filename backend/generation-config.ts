/** How the model itself wants to be sampled and when it ends. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { readConfigText } from './checkpoint/config-text.ts'
import { JsonFile } from './checkpoint/json-file.ts'
import type { SamplingDefaults } from './served-model.ts'

export type GenerationConfig = {
  readonly endOfSequenceTokens: readonly number[]
  readonly samplingDefaults: SamplingDefaults
}

/**
 * generation_config.json where there is one, else the end tokens of config.json (or of a GGUF file's
 * own fields) and OpenAI's defaults.
 * @param model a model folder, or a .gguf file
 * @throws ModelFolderError
 */
export const readGenerationConfig = async (model: string): Promise<GenerationConfig> => {
  const generation = readOptional(join(model, 'generation_config.json'))
  const config = await readConfigText(model)
  const ownEnds = generation.tokenIds('eos_token_id')
  const temperature = numberFrom(0, generation, 'temperature') ?? 1
  return {
    endOfSequenceTokens:
      ownEnds.length > 0
        ? ownEnds
        : new JsonFile(config.path, config.text).tokenIds('eos_token_id'),
    samplingDefaults: {
      temperature: generation.boolean('do_sample') === false ? 0 : temperature,
      topP: numberFrom(0, generation, 'top_p') ?? 1,
      // -1 is written for "off", too.
      topK: Math.max(0, Math.floor(numberFrom(-1, generation, 'top_k') ?? 0)),
      minP: numberFrom(0, generation, 'min_p') ?? 0,
      repetitionPenalty: numberFrom(0.01, generation, 'repetition_penalty') ?? 1,
    },
  }
}

const numberFrom = (min: number, file: JsonFile, name: string): number | undefined => {
  const value = file.fields[name] ?? undefined
  if (value === undefined) return undefined
  if (typeof value === 'number' && Number.isFinite(value) && value >= min) return value
  throw file.error(`${name} must be a number from ${min} on`)
}

/** A file that is not there has no fields. */
const readOptional = (path: string): JsonFile =>
  existsSync(path) ? JsonFile.read(path) : new JsonFile(path, '{}')
