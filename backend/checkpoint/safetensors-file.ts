/** One open safetensors file, read in pieces: the weights are never in memory as a whole. */
import { open, type FileHandle } from 'node:fs/promises'
import { ModelFolderError } from '../model-folder-error.ts'
import { floatBytes, isFloatDtype, toFloat32 } from './float32.ts'
import {
  lengthBytes,
  parseHeader,
  parseHeaderLength,
  type TensorInfo,
} from './safetensors-header.ts'

/** One piece as float32 is 4 MiB: large enough to read at the disk's speed. */
const elementsPerPiece = 1 << 20

export class SafetensorsFile {
  readonly tensors: ReadonlyMap<string, TensorInfo>
  readonly #path: string
  readonly #file: FileHandle

  private constructor(path: string, file: FileHandle, tensors: ReadonlyMap<string, TensorInfo>) {
    this.#path = path
    this.#file = file
    this.tensors = tensors
  }

  /** @throws ModelFolderError when the file is missing or not sound */
  static async open(path: string): Promise<SafetensorsFile> {
    let file: FileHandle | undefined
    try {
      file = await open(path)
      const { size } = await file.stat()
      const start = await readExactly(file, 0, Math.min(size, lengthBytes))
      const length = parseHeaderLength(path, start, size)
      const header = await readExactly(file, lengthBytes, length)
      return new SafetensorsFile(path, file, parseHeader(path, header, size))
    } catch (error) {
      await file?.close()
      throw error instanceof ModelFolderError ? error : new ModelFolderError(path, error)
    }
  }

  /**
   * The tensor's values in row-major order, piece by piece.
   * @throws ModelFolderError for a tensor that the file does not have or that is not floating point
   */
  async *readFloat32(name: string): AsyncGenerator<Float32Array, void> {
    const info = this.tensors.get(name)
    if (info === undefined) throw new ModelFolderError(this.#path, `it has no tensor ${name}`)
    const { dtype, offset, numBytes } = info
    if (!isFloatDtype(dtype)) {
      const known = Object.keys(floatBytes).join(', ')
      throw new ModelFolderError(this.#path, `tensor ${name} is ${dtype}; weights must be ${known}`)
    }
    const pieceBytes = elementsPerPiece * floatBytes[dtype]
    for (let done = 0; done < numBytes; done += pieceBytes) {
      const length = Math.min(pieceBytes, numBytes - done)
      yield toFloat32(dtype, await this.#read(offset + done, length))
    }
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await this.#file.close()
  }

  async #read(offset: number, numBytes: number): Promise<Uint8Array<ArrayBuffer>> {
    try {
      return await readExactly(this.#file, offset, numBytes)
    } catch (cause) {
      throw new ModelFolderError(this.#path, cause)
    }
  }
}

const readExactly = async (
  file: FileHandle,
  offset: number,
  numBytes: number,
): Promise<Uint8Array<ArrayBuffer>> => {
  const bytes = new Uint8Array(numBytes)
  let done = 0
  while (done < numBytes) {
    const { bytesRead } = await file.read(bytes, done, numBytes - done, offset + done)
    if (bytesRead === 0) throw new Error('it became shorter while it was read')
    done += bytesRead
  }
  return bytes
}
