/** A file open for reads at any place; whatever goes wrong names its path. */
import { open, stat, type FileHandle } from 'node:fs/promises'
import { ModelFolderError } from '../model-folder-error.ts'

export class RangeFile {
  readonly path: string
  /** In bytes, when it was opened. */
  readonly size: number
  readonly #file: FileHandle

  private constructor(path: string, file: FileHandle, size: number) {
    this.path = path
    this.#file = file
    this.size = size
  }

  /** @throws ModelFolderError */
  static async open(path: string): Promise<RangeFile> {
    let file: FileHandle | undefined
    try {
      // Before it is opened: opening a pipe waits for a writer.
      if (!(await stat(path)).isFile()) throw new Error('it is no file')
      file = await open(path)
      return new RangeFile(path, file, (await file.stat()).size)
    } catch (cause) {
      await file?.close()
      throw new ModelFolderError(path, cause)
    }
  }

  /**
   * Opens the file for what `use` makes of it, which then closes it; closes it when `use` fails.
   * @throws ModelFolderError
   */
  static async openFor<T>(path: string, use: (file: RangeFile) => Promise<T>): Promise<T> {
    const file = await RangeFile.open(path)
    try {
      return await use(file)
    } catch (error) {
      await file.close()
      throw error
    }
  }

  error(message: string): ModelFolderError {
    return new ModelFolderError(this.path, message)
  }

  /**
   * @param into is filled and returned, from the start of its buffer; a new buffer of exactly `numBytes`
   *   when left out
   * @throws ModelFolderError when the file ends before
   */
  async read(
    offset: number,
    numBytes: number,
    into?: Uint8Array<ArrayBuffer>,
  ): Promise<Uint8Array<ArrayBuffer>> {
    // Checked before the buffer is made: a hostile length costs no memory.
    if (offset + numBytes > this.size) {
      throw this.error(
        `it ends at ${this.size} bytes, before byte ${offset + numBytes}: was it cut off?`,
      )
    }
    const bytes = into ?? new Uint8Array(numBytes)
    try {
      for (let done = 0; done < numBytes;) {
        const { bytesRead } = await this.#file.read(bytes, done, numBytes - done, offset + done)
        if (bytesRead === 0) throw new Error('it became shorter while it was read')
        done += bytesRead
      }
    } catch (cause) {
      throw new ModelFolderError(this.path, cause)
    }
    return bytes
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await this.#file.close()
  }
}
