/** Compares the storages of a PyTorch file with the checksums that its archive has of them. */
import { crc32 } from 'node:zlib'
import type { RangeFile } from './range-file.ts'
import type { ZipEntry } from './zip.ts'

const bytesAtOnce = 4 << 20

export class StorageChecksums {
  readonly #file: RangeFile
  readonly #checked = new Map<ZipEntry, Promise<void>>()

  constructor(file: RangeFile) {
    this.#file = file
  }

  /** Reads the whole storage, the first time that it is asked for. @throws ModelFolderError */
  verify(storage: ZipEntry): Promise<void> {
    const known = this.#checked.get(storage)
    if (known !== undefined) return known
    const checking = this.#readAndRequire(storage)
    this.#checked.set(storage, checking)
    return checking
  }

  /** @param sum the CRC-32 of all bytes of the storage. @throws ModelFolderError for another one */
  require(storage: ZipEntry, sum: number): void {
    if (sum === storage.crc32) {
      this.#checked.set(storage, Promise.resolve())
      return
    }
    throw this.#file.error(
      `its storage at byte ${storage.offset} is damaged: its checksum is wrong. Download it again`,
    )
  }

  async #readAndRequire(storage: ZipEntry): Promise<void> {
    let sum = 0
    for (let at = 0; at < storage.numBytes; at += bytesAtOnce) {
      const numBytes = Math.min(bytesAtOnce, storage.numBytes - at)
      sum = crc32(await this.#file.read(storage.offset + at, numBytes), sum)
    }
    this.require(storage, sum)
  }
}
