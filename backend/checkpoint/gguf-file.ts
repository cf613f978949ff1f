/** One open GGUF file of the Llama family, with tensors as Hugging Face names, shapes and orders them. */
import { headDimOf, readGgufArchitecture, type GgufArchitecture } from './gguf-architecture.ts'
import { readGgufHeader } from './gguf-header.ts'
import type { GgufMetadata } from './gguf-metadata.ts'
import { huggingFaceName, isInterleaved } from './gguf-tensor-names.ts'
import { RangeFile } from './range-file.ts'
import { tensorPlace, type TensorPlace } from './tensor-place.ts'
import { readRows, type RowRange, type TensorFile, type TensorInfo } from './tensor-file.ts'

export class GgufFile implements TensorFile {
  readonly metadata: GgufMetadata
  readonly architecture: GgufArchitecture
  /** Of query, key and value heads. */
  readonly headDim: number
  readonly tensors: ReadonlyMap<string, TensorInfo>
  readonly #file: RangeFile

  private constructor(
    file: RangeFile,
    metadata: GgufMetadata,
    architecture: GgufArchitecture,
    tensors: ReadonlyMap<string, TensorInfo>,
  ) {
    this.#file = file
    this.metadata = metadata
    this.architecture = architecture
    this.headDim = headDimOf(metadata, architecture)
    this.tensors = tensors
  }

  /** @throws ModelFolderError when the file is missing, not sound or of another architecture */
  static open(path: string): Promise<GgufFile> {
    return RangeFile.openFor(path, async (file) => {
      const { metadata, tensors } = await readGgufHeader(file)
      const architecture = readGgufArchitecture(metadata)
      const renamed = new Map([...tensors].map(([name, info]) => [huggingFaceName(name), info]))
      if (renamed.size === tensors.size) {
        return new GgufFile(file, metadata, architecture, renamed)
      }
      throw file.error('two of its tensors have the same name')
    })
  }

  async *readFloat32(name: string, rows?: RowRange): AsyncGenerator<Float32Array, void> {
    yield* readRows(this.#file, this.locate(name), { rows })
  }

  locate(name: string): TensorPlace {
    const isInOtherOrder = this.architecture.rotatesNeighbours && isInterleaved(name)
    const groupRows = isInOtherOrder ? this.headDim : 1
    return tensorPlace(this.#file.path, name, this.#info(name), groupRows)
  }

  /** GGUF has no checksums. */
  async verify(name: string): Promise<void> {
    this.#info(name)
  }

  #info(name: string): TensorInfo {
    const info = this.tensors.get(name)
    if (info !== undefined) return info
    throw this.#file.error(`it has no tensor ${name}`)
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}
