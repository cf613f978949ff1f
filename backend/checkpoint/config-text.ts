/** The text of a model's config.json, or what it would be for a model that is a GGUF file. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ModelFolderError } from '../model-folder-error.ts'
import { ggufConfigFields } from './gguf-config.ts'
import { GgufFile } from './gguf-file.ts'
import { findWeightFiles } from './weight-files.ts'

export type ConfigText = {
  /** Where it is from, for errors. */
  readonly path: string
  readonly text: string
}

/**
 * A GGUF file's own metadata counts, not a config.json beside it.
 * @param model a model folder, or a .gguf file
 * @throws ModelFolderError when there is none
 */
export const readConfigText = async (model: string): Promise<ConfigText> => {
  const { format, paths } = await findWeightFiles(model)
  const [path = model] = paths
  return format === 'gguf' ? ggufText(path) : jsonText(join(model, 'config.json'))
}

const ggufText = async (path: string): Promise<ConfigText> => {
  const file = await GgufFile.open(path)
  try {
    return { path, text: JSON.stringify(await ggufConfigFields(file)) }
  } finally {
    await file.close()
  }
}

const jsonText = async (path: string): Promise<ConfigText> => {
  try {
    return { path, text: await readFile(path, 'utf8') }
  } catch (cause) {
    throw new ModelFolderError(path, cause)
  }
}
