/** Tells what `burrow shard` wrote from a checkpoint, and which of its files speak for the model's text. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { vocabularyFile } from './gguf-vocabulary-file.ts'
import { findWeightFiles } from './weight-files.ts'

/** No checkpoint has these two beside its config.json. */
const marks = ['manifest.json', 'checksums.txt', 'config.json']

export const isConverted = (model: string): boolean =>
  marks.every((name) => existsSync(join(model, name)))

/**
 * The GGUF file whose metadata has the model's configuration and vocabulary; null where JSON files of the
 * folder have them.
 * @param model a model folder, a .gguf file or a converted folder
 * @throws ModelFolderError when it is none of them
 */
export const findGguf = async (model: string): Promise<string | null> => {
  if (isConverted(model)) {
    const path = join(model, vocabularyFile)
    return existsSync(path) ? path : null
  }
  const { format, paths } = await findWeightFiles(model)
  return format === 'gguf' ? (paths[0] ?? null) : null
}
