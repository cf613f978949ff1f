/** Typed reading of a GGUF file's metadata. */
import { ModelFolderError } from '../model-folder-error.ts'
import { GgufTexts, type TextList } from './gguf-texts.ts'
import type { GgufValue } from './gguf-value.ts'

/** Every reader answers undefined for a key left out and throws ModelFolderError for a wrong one. */
export class GgufMetadata {
  readonly #path: string
  readonly #values: ReadonlyMap<string, GgufValue>

  /** @param path the file's, for errors */
  constructor(path: string, values: ReadonlyMap<string, GgufValue>) {
    this.#path = path
    this.#values = values
  }

  get keys(): string[] {
    return [...this.#values.keys()]
  }

  error(message: string): ModelFolderError {
    return new ModelFolderError(this.#path, message)
  }

  string(key: string): string | undefined {
    const value = this.#values.get(key)
    if (value === undefined || typeof value === 'string') return value
    throw this.error(`${key} must be a string`)
  }

  boolean(key: string): boolean | undefined {
    const value = this.#values.get(key)
    if (value === undefined || typeof value === 'boolean') return value
    throw this.error(`${key} must be true or false`)
  }

  number(key: string): number | undefined {
    const value = this.#values.get(key)
    if (value === undefined || (typeof value === 'number' && Number.isFinite(value))) return value
    throw this.error(`${key} must be one number`)
  }

  /** A whole number, 0 or more. */
  index(key: string): number | undefined {
    const value = this.number(key)
    if (value === undefined || (Number.isSafeInteger(value) && value >= 0)) return value
    throw this.error(`${key} must be a whole number, 0 or more`)
  }

  /** A whole number, 1 or more. */
  requiredCount(key: string): number {
    const value = this.index(key)
    if (value === undefined) throw this.error(`${key} is missing`)
    if (value === 0) throw this.error(`${key} must be above 0`)
    return value
  }

  strings(key: string): TextList | undefined {
    const value = this.#values.get(key)
    if (value === undefined || value instanceof GgufTexts) return value
    throw this.error(`${key} must be an array of strings`)
  }

  /** An array of numbers of any type. */
  numbers(key: string): ArrayLike<number> | undefined {
    const value = this.#values.get(key)
    if (value === undefined) return undefined
    if (ArrayBuffer.isView(value)) return value
    throw this.error(`${key} must be an array of numbers`)
  }
}
