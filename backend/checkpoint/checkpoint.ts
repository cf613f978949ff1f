/** The weights of a model: all its files together, whatever their format. */
import { ModelFolderError } from '../model-folder-error.ts'
import { GgufFile } from './gguf-file.ts'
import { SafetensorsFile } from './safetensors-file.ts'
import type { TensorPlace } from './tensor-place.ts'
import { countValues, type TensorFile } from './tensor-file.ts'
import { TorchFile } from './torch-file.ts'
import { findWeightFiles } from './weight-files.ts'

const openers = {
  safetensors: SafetensorsFile.open,
  torch: TorchFile.open,
  gguf: GgufFile.open,
} as const

export class Checkpoint {
  readonly #model: string
  readonly #files: readonly TensorFile[]
  readonly #fileOf = new Map<string, TensorFile>()

  private constructor(model: string, files: readonly TensorFile[]) {
    this.#model = model
    this.#files = files
    for (const file of files) {
      for (const tensor of file.tensors.keys()) {
        // Which of them is the model's cannot be known.
        if (this.#fileOf.has(tensor)) {
          throw new ModelFolderError(model, `two of its files have a tensor ${tensor}`)
        }
        this.#fileOf.set(tensor, file)
      }
    }
  }

  /**
   * Opens all weight files and reads their headers.
   * @param model a model folder, or a .gguf file
   * @throws ModelFolderError
   */
  static async open(model: string): Promise<Checkpoint> {
    const files: TensorFile[] = []
    try {
      const { format, paths } = await findWeightFiles(model)
      for (const path of paths) files.push(await openers[format](path))
      return new Checkpoint(model, files)
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
      this.#model,
      `tensor ${name} is [${found}], but by its configuration it must be [${shape.join(', ')}]`,
    )
  }

  /** See {@link TensorFile.locate}. */
  locate(name: string): TensorPlace {
    return this.#file(name).locate(name)
  }

  /** The element type, as its format calls it, that most values have. */
  get mainType(): string {
    const numValues = new Map<string, number>()
    for (const file of this.#files) {
      for (const { dtype, shape } of file.tensors.values()) {
        numValues.set(dtype, (numValues.get(dtype) ?? 0) + countValues(shape))
      }
    }
    const [[type] = ['none']] = [...numValues].toSorted(([, a], [, b]) => b - a)
    return type
  }

  /** See {@link TensorFile.verify}. */
  async verify(name: string): Promise<void> {
    await this.#file(name).verify(name)
  }

  /** Idempotent. */
  async close(): Promise<void> {
    for (const file of this.#files) await file.close()
  }

  #file(tensor: string): TensorFile {
    const file = this.#fileOf.get(tensor)
    if (file !== undefined) return file
    throw new ModelFolderError(this.#model, `its weights have no tensor ${tensor}`)
  }
}
