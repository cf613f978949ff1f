/**
 * Finds the data of a ZIP archive's entries. Stricter than the format: entries are stored as they
 * are, and each ends where the next one begins, so that no damaged length can move an entry's data.
 */
import type { RangeFile } from './range-file.ts'
import { readDirectory, type DirectoryEntry } from './zip-directory.ts'

export type ZipEntry = {
  /** Of its data, from the start of the file. */
  readonly offset: number
  readonly numBytes: number
  readonly crc32: number
}

const localHeaderBytes = 30
const localSignature = 0x04034b50
const descriptorSignature = 0x08074b50

/** The sizes after an entry's data, as 32 and as 64 bits. */
const descriptorBytes: readonly number[] = [16, 24]

/** Checks the entry's own header, and that its data ends where the next entry begins. */
const locate = async (
  file: RangeFile,
  entry: DirectoryEntry,
  nextOffset: number,
): Promise<number> => {
  const { name, numBytes, headerOffset } = entry
  const broken = file.error(`its entry ${name} is damaged`)
  if (headerOffset + localHeaderBytes > nextOffset) throw broken
  const header = new DataView((await file.read(headerOffset, localHeaderBytes)).buffer)
  if (header.getUint32(0, true) !== localSignature) throw broken
  const nameBytes = header.getUint16(26, true)
  const offset = headerOffset + localHeaderBytes + nameBytes + header.getUint16(28, true)
  const gap = nextOffset - offset - numBytes
  if (!entry.hasDescriptor) {
    if (gap === 0) return offset
    throw broken
  }
  if (!descriptorBytes.includes(gap)) throw broken
  const descriptor = new DataView((await file.read(offset + numBytes, 8)).buffer)
  const isSound =
    descriptor.getUint32(0, true) === descriptorSignature &&
    descriptor.getUint32(4, true) === entry.crc32
  if (isSound) return offset
  throw broken
}

/**
 * All entries by name.
 * @throws ModelFolderError for an archive that is damaged, compressed or encrypted
 */
export const readZip = async (file: RangeFile): Promise<Map<string, ZipEntry>> => {
  const directory = await readDirectory(file)
  const listed = directory.entries.toSorted((a, b) => a.headerOffset - b.headerOffset)
  const entries = new Map<string, ZipEntry>()
  for (const [index, entry] of listed.entries()) {
    const { name, numBytes, crc32 } = entry
    if (entry.isEncrypted || entry.isCompressed) {
      throw file.error(
        `its entry ${name} is compressed or encrypted, as in no state_dict of torch.save`,
      )
    }
    if (entries.has(name)) throw file.error(`it has two entries ${name}`)
    const nextOffset = listed[index + 1]?.headerOffset ?? directory.offset
    entries.set(name, { offset: await locate(file, entry, nextOffset), numBytes, crc32 })
  }
  return entries
}
