/** The text of a model's config.json, or what it would be for a model that is a GGUF file. */
import { join } from 'node:path'
import { readModelText } from '../model-file.ts'
import { findGguf, isConverted } from './converted-folder.ts'
import { ggufConfigFields } from './gguf-config.ts'
import { GgufFile } from './gguf-file.ts'

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
  // A converted folder has the text in a file even where it was made of GGUF.
  const gguf = isConverted(model) ? null : await findGguf(model)
  if (gguf !== null) return ggufText(gguf)
  const configPath = join(model, 'config.json')
  return { path: configPath, text: readModelText(configPath) }
}

const ggufText = async (path: string): Promise<ConfigText> => {
  const file = await GgufFile.open(path)
  try {
    return { path, text: JSON.stringify(await ggufConfigFields(file)) }
  } finally {
    await file.close()
  }
}
