/** One open GGUF file of the Llama family, with tensors as Hugging Face names, shapes and orders them. */
import { headDimOf, readGgufArchitecture, type GgufArchitecture } from './gguf-architecture.ts'
import { readGgufHeader } from './gguf-header.ts'
import type { GgufMetadata } from './gguf-metadata.ts'
import { huggingFaceName, rowOrder } from './gguf-tensor-names.ts'
import { RangeFile } from './range-file.ts'
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
    const info = this.#info(name)
    const order = this.architecture.rotatesNeighbours ? rowOrder(name, this.headDim) : undefined
    if (order !== undefined && (info.shape[0] ?? 0) % order.groupRows !== 0) {
      throw this.#file.error(`tensor ${name} has ${info.shape[0]} rows, no whole heads`)
    }
    yield* readRows(this.#file, name, info, { rows, order })
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
