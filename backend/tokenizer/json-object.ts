/** Reads a JSON file of a model folder as an object whose fields are not yet trusted. */
import { existsSync, readFileSync } from 'node:fs'
import { isFields, type Fields } from '../../shared/parse.ts'
import { ModelFolderError } from '../model-folder-error.ts'

/** @throws ModelFolderError */
export const readJsonObject = (path: string): Fields => {
  let value: unknown
  try {
    value = JSON.parse(readFileSync(path, 'utf8'))
  } catch (cause) {
    throw new ModelFolderError(path, cause)
  }
  if (!isFields(value)) throw new ModelFolderError(path, 'no JSON object')
  return value
}

/** As {@link readJsonObject}; a file that is not there gives an empty object. */
export const readOptionalJsonObject = (path: string): Fields =>
  existsSync(path) ? readJsonObject(path) : {}
