/** Finds the files that hold a model's weights, and says which format they have. */
import { readdir, stat } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { basename, join } from 'node:path'
import { ModelFolderError } from '../model-folder-error.ts'
import { JsonFile } from './json-file.ts'

export type WeightFiles = {
  readonly format: 'safetensors' | 'torch' | 'gguf'
  readonly paths: readonly string[]
}

/** As Hugging Face names them: one file, or an index of several. */
const layouts = [
  { format: 'safetensors', single: 'model.safetensors', extension: '.safetensors' },
  { format: 'torch', single: 'pytorch_model.bin', extension: '.bin' },
] as const

const indexOf = (single: string): string => `${single}.index.json`

/** The names of the files that `weight_map` of an index puts tensors into. */
const readIndex = (path: string, extension: string): string[] => {
  const index = JsonFile.read(path)
  const names = Object.values(index.object('weight_map') ?? {})
  if (names.length === 0) throw index.error('weight_map is missing or empty')
  const files = names.map((name) => {
    // A name that is a path could open anything on this machine.
    if (typeof name === 'string' && name.endsWith(extension) && basename(name) === name) {
      return name
    }
    throw index.error(`${JSON.stringify(name)} is no ${extension} file of this folder`)
  })
  return [...new Set(files)].sort()
}

/** @throws ModelFolderError when there is nothing */
const kindOf = async (path: string): Promise<'file' | 'folder' | 'other'> => {
  try {
    const found = await stat(path)
    return found.isFile() ? 'file' : found.isDirectory() ? 'folder' : 'other'
  } catch (cause) {
    throw new ModelFolderError(path, cause)
  }
}

/**
 * Safetensors win over PyTorch's files, those over GGUF.
 * @param model a model folder, or a .gguf file
 * @throws ModelFolderError when there are none, or several .gguf files
 */
export const findWeightFiles = async (model: string): Promise<WeightFiles> => {
  const kind = await kindOf(model)
  if (kind === 'file' && model.endsWith('.gguf')) return { format: 'gguf', paths: [model] }
  if (kind !== 'folder') {
    throw new ModelFolderError(model, 'it is neither a folder nor a .gguf file')
  }
  for (const { format, single, extension } of layouts) {
    if (existsSync(join(model, single))) return { format, paths: [join(model, single)] }
    const index = join(model, indexOf(single))
    if (!existsSync(index)) continue
    const names = readIndex(index, extension)
    return { format, paths: names.map((name) => join(model, name)) }
  }
  const ggufs = (await readdir(model)).filter((name) => name.endsWith('.gguf'))
  if (ggufs.length > 1) {
    throw new ModelFolderError(
      model,
      `it holds ${ggufs.length} .gguf files: name one of them instead of the folder`,
    )
  }
  if (ggufs.length === 1) return { format: 'gguf', paths: ggufs.map((name) => join(model, name)) }
  const known = layouts.map(({ single }) => `${single}, ${indexOf(single)}`).join(', ')
  throw new ModelFolderError(model, `it holds no weights: none of ${known} and no .gguf file`)
}
