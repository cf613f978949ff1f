/** One open safetensors file, read in pieces: the weights are never in memory as a whole. */
import { RangeFile } from './range-file.ts'
import { lengthBytes, parseHeader, parseHeaderLength } from './safetensors-header.ts'
import { tensorPlace, type TensorPlace } from './tensor-place.ts'
import { readRows, type RowRange, type TensorFile, type TensorInfo } from './tensor-file.ts'

export class SafetensorsFile implements TensorFile {
  readonly tensors: ReadonlyMap<string, TensorInfo>
  readonly #file: RangeFile

  private constructor(file: RangeFile, tensors: ReadonlyMap<string, TensorInfo>) {
    this.#file = file
    this.tensors = tensors
  }

  /** @throws ModelFolderError when the file is missing or not sound */
  static open(path: string): Promise<SafetensorsFile> {
    return RangeFile.openFor(path, async (file) => {
      const start = await file.read(0, Math.min(file.size, lengthBytes))
      const length = parseHeaderLength(path, start, file.size)
      const header = await file.read(lengthBytes, length)
      return new SafetensorsFile(file, parseHeader(path, header, file.size))
    })
  }

  async *readFloat32(name: string, rows?: RowRange): AsyncGenerator<Float32Array, void> {
    yield* readRows(this.#file, this.locate(name), { rows })
  }

  /** Safetensors have no checksums. */
  async verify(name: string): Promise<void> {
    this.#info(name)
  }

  locate(name: string): TensorPlace {
    return tensorPlace(this.#file.path, name, this.#info(name))
  }

  close(): Promise<void> {
    return this.#file.close()
  }

  #info(name: string): TensorInfo {
    const info = this.tensors.get(name)
    if (info !== undefined) return info
    throw this.#file.error(`it has no tensor ${name}`)
  }
}
