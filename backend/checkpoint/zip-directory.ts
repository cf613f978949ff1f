/**
 * Reads the central directory at the end of a ZIP archive (PKWARE's APPNOTE.TXT, with ZIP64).
 * Stricter than the format: the archive has no comment, and nothing lies between its end records.
 */
import type { RangeFile } from './range-file.ts'

/** Of the central directory. */
const maxDirectoryBytes = 16 << 20

/** Each costs a read. A 70B model in one file has some 700. */
const maxEntries = 1 << 16

const endBytes = 22
const endLocatorBytes = 20
const end64Bytes = 56
const directoryHeaderBytes = 46

const signatures = {
  directory: 0x02014b50,
  end64: 0x06064b50,
  endLocator: 0x07064b50,
  end: 0x06054b50,
} as const

/** A size or place that stands in the extra field. */
const is64 = 0xffff_ffff

type Place = {
  readonly offset: number
  readonly numBytes: number
  readonly numEntries: number
}

export type DirectoryEntry = {
  readonly name: string
  readonly isEncrypted: boolean
  readonly isCompressed: boolean
  /** A descriptor with its sizes follows the data. */
  readonly hasDescriptor: boolean
  readonly crc32: number
  readonly numBytes: number
  /** Of the entry's own header, from the start of the file. */
  readonly headerOffset: number
}

export type Directory = {
  /** In the order in which they are listed. */
  readonly entries: readonly DirectoryEntry[]
  /** Where the directory begins, which is where the last entry ends. */
  readonly offset: number
}

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** As a number; beyond 2^53 it is inexact, and beyond every file. */
const readUint64 = (view: DataView, at: number): number => Number(view.getBigUint64(at, true))

const findDirectory = async (file: RangeFile): Promise<Place> => {
  const error = (): Error =>
    file.error('it does not end as a ZIP archive does: was it cut off? Download it again')
  const tailBytes = Math.min(file.size, endLocatorBytes + endBytes)
  if (tailBytes < endBytes) throw error()
  const tail = viewOf(await file.read(file.size - tailBytes, tailBytes))
  const end = tailBytes - endBytes
  if (tail.getUint32(end, true) !== signatures.end) throw error()
  let directory: Place = {
    numEntries: tail.getUint16(end + 10, true),
    numBytes: tail.getUint32(end + 12, true),
    offset: tail.getUint32(end + 16, true),
  }
  let directoryEnd = file.size - endBytes
  if (end === endLocatorBytes && tail.getUint32(0, true) === signatures.endLocator) {
    directoryEnd = readUint64(tail, 8)
    if (directoryEnd + end64Bytes + endLocatorBytes + endBytes !== file.size) throw error()
    const end64 = viewOf(await file.read(directoryEnd, end64Bytes))
    if (end64.getUint32(0, true) !== signatures.end64) throw error()
    directory = {
      numEntries: readUint64(end64, 32),
      numBytes: readUint64(end64, 40),
      offset: readUint64(end64, 48),
    }
  }
  if (directory.offset + directory.numBytes !== directoryEnd) throw error()
  const { numBytes, numEntries } = directory
  if (numBytes <= maxDirectoryBytes && numEntries <= maxEntries) return directory
  throw file.error(`its list of ${numEntries} entries would have ${numBytes} bytes: too many`)
}

/** The sizes that did not fit 32 bits come in the extra field 1, in this order and only those. */
const readZip64 = (
  view: DataView,
  at: number,
  end: number,
  narrow: readonly number[],
): number[] => {
  for (let field = at; field + 4 <= end;) {
    const dataEnd = field + 4 + view.getUint16(field + 2, true)
    let next = field + 4
    if (view.getUint16(field, true) === 1 && dataEnd <= end) {
      return narrow.map((value) => {
        if (value !== is64 || next + 8 > dataEnd) return value
        next += 8
        return readUint64(view, next - 8)
      })
    }
    field = dataEnd
  }
  return [...narrow]
}

const parseDirectory = (
  file: RangeFile,
  bytes: Uint8Array,
  numEntries: number,
): DirectoryEntry[] => {
  const view = viewOf(bytes)
  const entries: DirectoryEntry[] = []
  let at = 0
  while (at < bytes.length) {
    const broken = file.error(`its list of entries is damaged after ${entries.length} entries`)
    if (at + directoryHeaderBytes > bytes.length) throw broken
    if (view.getUint32(at, true) !== signatures.directory) throw broken
    const nameEnd = at + directoryHeaderBytes + view.getUint16(at + 28, true)
    const extraEnd = nameEnd + view.getUint16(at + 30, true)
    const end = extraEnd + view.getUint16(at + 32, true)
    if (end > bytes.length) throw broken
    const flags = view.getUint16(at + 8, true)
    const narrow = [24, 20, 42].map((field) => view.getUint32(at + field, true))
    const [numBytes = 0, storedBytes = 0, headerOffset = 0] = readZip64(
      view,
      nameEnd,
      extraEnd,
      narrow,
    )
    entries.push({
      name: new TextDecoder().decode(bytes.subarray(at + directoryHeaderBytes, nameEnd)),
      isEncrypted: (flags & 1) !== 0,
      isCompressed: view.getUint16(at + 10, true) !== 0 || numBytes !== storedBytes,
      hasDescriptor: (flags & 8) !== 0,
      crc32: view.getUint32(at + 16, true),
      numBytes,
      headerOffset,
    })
    at = end
  }
  if (entries.length === numEntries) return entries
  throw file.error(`it lists ${entries.length} entries, but says that it has ${numEntries}`)
}

/** @throws ModelFolderError for an archive that is cut off or damaged */
export const readDirectory = async (file: RangeFile): Promise<Directory> => {
  const { offset, numBytes, numEntries } = await findDirectory(file)
  const bytes = await file.read(offset, numBytes)
  return { offset, entries: parseDirectory(file, bytes, numEntries) }
}
