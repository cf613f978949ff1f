/** Reads the small files of a model folder whole: configuration, index, tokenizer, template. */
import { readFileSync, statSync } from 'node:fs'
import { ModelFolderError } from './model-folder-error.ts'

/** The largest tokenizer.json of known models has 35 MB. */
const maxModelFileBytes = 64_000_000

/**
 * A device or a pipe, which a link in the folder may lead to, would have no end.
 * @throws ModelFolderError when it is missing, no file or larger than such a file can be
 */
export const readModelFile = (path: string, maxBytes = maxModelFileBytes): Uint8Array => {
  try {
    const stat = statSync(path)
    if (!stat.isFile()) throw new Error('it is no file')
    if (stat.size > maxBytes) throw new Error(`it has ${stat.size} bytes, more than ${maxBytes}`)
    return readFileSync(path)
  } catch (cause) {
    throw new ModelFolderError(path, cause)
  }
}

/** As {@link readModelFile}, as UTF-8. */
export const readModelText = (path: string, maxBytes = maxModelFileBytes): string =>
  new TextDecoder().decode(readModelFile(path, maxBytes))
