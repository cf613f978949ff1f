/** Typed reading of a JSON file of a model folder. A field that is null counts as left out. */
import { isFields, type Fields } from '../../shared/parse.ts'
import { readModelText } from '../model-file.ts'
import { ModelFolderError } from '../model-folder-error.ts'

/**
 * Every reader answers undefined for a field left out and throws ModelFolderError for a wrong one;
 * with `object`, it reads a field of that object inside this file.
 */
export class JsonFile {
  readonly fields: Fields
  readonly #path: string

  /** @throws ModelFolderError unless `text` is JSON of an object; `path` is for errors */
  constructor(path: string, text: string) {
    this.#path = path
    try {
      const value: unknown = JSON.parse(text)
      if (!isFields(value)) throw new Error('it is no JSON object')
      this.fields = value
    } catch (cause) {
      throw new ModelFolderError(path, cause)
    }
  }

  /** @throws ModelFolderError */
  static read(path: string): JsonFile {
    return new JsonFile(path, readModelText(path))
  }

  error(message: string): ModelFolderError {
    return new ModelFolderError(this.#path, message)
  }

  /** A whole number, 1 or more. */
  count(name: string, object: Fields = this.fields): number | undefined {
    const value = object[name] ?? undefined
    if (value === undefined) return undefined
    if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return value
    throw this.error(`${name} must be a whole number above 0`)
  }

  /** A whole number, 0 or more. */
  index(name: string): number | undefined {
    const value = this.fields[name] ?? undefined
    if (value === undefined) return undefined
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
    throw this.error(`${name} must be a whole number, 0 or more`)
  }

  requiredCount(name: string): number {
    const value = this.count(name)
    if (value === undefined) throw this.error(`${name} is missing`)
    return value
  }

  /** A number above 0. */
  positive(name: string, object: Fields = this.fields): number | undefined {
    const value = object[name] ?? undefined
    if (value === undefined) return undefined
    if (typeof value === 'number' && Number.isFinite(value) && value > 0) return value
    throw this.error(`${name} must be a number above 0`)
  }

  boolean(name: string, object: Fields = this.fields): boolean | undefined {
    const value = object[name] ?? undefined
    if (value === undefined || typeof value === 'boolean') return value
    throw this.error(`${name} must be true or false`)
  }

  /** One token id or a list of them; none when left out. */
  tokenIds(name: string): readonly number[] {
    const value = this.fields[name] ?? []
    const list: readonly unknown[] = Array.isArray(value) ? value : [value]
    const ids = list.filter(
      (id): id is number => typeof id === 'number' && Number.isSafeInteger(id) && id >= 0,
    )
    if (ids.length === list.length) return ids
    throw this.error(`${name} must be a token id or a list of token ids`)
  }

  object(name: string): Fields | undefined {
    const value = this.fields[name] ?? undefined
    if (value === undefined || isFields(value)) return value
    throw this.error(`${name} must be an object`)
  }
}
