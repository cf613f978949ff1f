/** The weights of a model folder: `model.safetensors`, or the files that an index lists. */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { ModelFolderError } from '../model-folder-error.ts'
import { JsonFile } from './json-file.ts'
import { SafetensorsFile } from './safetensors-file.ts'

const singleFile = 'model.safetensors'
const indexFile = 'model.safetensors.index.json'

/** The names of the files that `weight_map` of an index puts tensors into. */
const parseIndex = (path: string, text: string): string[] => {
  const index = new JsonFile(path, text)
  const names = Object.values(index.object('weight_map') ?? {})
  if (names.length === 0) throw index.error('weight_map is missing or empty')
  const files = names.map((name) => {
    // A name that is a path could open anything on this machine.
    if (typeof name === 'string' && name.endsWith('.safetensors') && basename(name) === name) {
      return name
    }
    throw index.error(`${JSON.stringify(name)} is no .safetensors file of this folder`)
  })
  return [...new Set(files)].sort()
}

/** Names of the files that hold a folder's weights. @throws ModelFolderError when there are none */
export const weightFiles = async (folder: string): Promise<string[]> => {
  if (existsSync(join(folder, singleFile))) return [singleFile]
  const path = join(folder, indexFile)
  if (existsSync(path)) return parseIndex(path, await readFile(path, 'utf8'))
  throw new ModelFolderError(
    folder,
    `it holds neither ${singleFile} nor ${indexFile}; weights in another format must be converted first`,
  )
}

export class Checkpoint {
  readonly #folder: string
  readonly #files: readonly SafetensorsFile[]
  readonly #fileOf = new Map<string, SafetensorsFile>()

  private constructor(folder: string, files: readonly SafetensorsFile[]) {
    this.#folder = folder
    this.#files = files
    for (const file of files) {
      for (const tensor of file.tensors.keys()) this.#fileOf.set(tensor, file)
    }
  }

  /** Opens all weight files and reads their headers. @throws ModelFolderError */
  static async open(folder: string): Promise<Checkpoint> {
    const files: SafetensorsFile[] = []
    try {
      for (const name of await weightFiles(folder)) {
        files.push(await SafetensorsFile.open(join(folder, name)))
      }
      return new Checkpoint(folder, files)
    } catch (error) {
      for (const file of files) await file.close()
      throw error
    }
  }

  /** @throws ModelFolderError unless there is a tensor of this name and shape */
  requireTensor(name: string, shape: readonly number[]): void {
    const found = this.#file(name).tensors.get(name)?.shape.join(', ')
    if (found === shape.join(', ')) return
    throw new ModelFolderError(
      this.#folder,
      `tensor ${name} is [${found}], but by config.json it must be [${shape.join(', ')}]`,
    )
  }

  /** See {@link SafetensorsFile.readFloat32}. */
  readFloat32(name: string): AsyncGenerator<Float32Array, void> {
    return this.#file(name).readFloat32(name)
  }

  /** Idempotent. */
  async close(): Promise<void> {
    for (const file of this.#files) await file.close()
  }

  #file(tensor: string): SafetensorsFile {
    const file = this.#fileOf.get(tensor)
    if (file !== undefined) return file
    throw new ModelFolderError(this.#folder, `its weights have no tensor ${tensor}`)
  }
}
