/** Reads a JSON file of a model folder as an object whose fields are not yet trusted. */
import { existsSync } from 'node:fs'
import { isFields, type Fields } from '../../shared/parse.ts'
import { readModelText } from '../model-file.ts'
import { ModelFolderError } from '../model-folder-error.ts'

/** @throws ModelFolderError */
export const readJsonObject = (path: string): Fields => {
  const text = readModelText(path)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new ModelFolderError(path, cause)
  }
  if (!isFields(value)) throw new ModelFolderError(path, 'no JSON object')
  return value
}

/** As {@link readJsonObject}; a file that is not there gives an empty object. */
export const readOptionalJsonObject = (path: string): Fields =>
  existsSync(path) ? readJsonObject(path) : {}
