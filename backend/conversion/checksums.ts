/**
 * checksums.txt of a converted model: a line for each range of each file, which together are the whole
 * file; of a range that is all zeros it says so. The checksums are taken while the bytes are in hand, by
 * as many threads as write them.
 */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { readModelText } from '../model-file.ts'
import { ModelFolderError } from '../model-folder-error.ts'

export const checksumsFile = 'checksums.txt'

/** A line is some 100 bytes, for each 4 MiB or so of a model of any known size. */
const maxChecksumsBytes = 400_000_000

export type FileRange = {
  readonly name: string
  readonly offset: number
  readonly numBytes: number
  /** In hexadecimal; null: all its bytes are zero. */
  readonly sha256: string | null
}

const zeros = 'zeros'

/** A file that is in memory. */
export const rangeOf = (name: string, bytes: Uint8Array): FileRange => ({
  name,
  offset: 0,
  numBytes: bytes.length,
  sha256: createHash('sha256').update(bytes).digest('hex'),
})

/** The ranges of a file in order, with zeros where none is. */
export const fillGaps = (
  name: string,
  fileBytes: number,
  ranges: readonly Omit<FileRange, 'name'>[],
): FileRange[] => {
  const filled: FileRange[] = []
  let end = 0
  const fill = (until: number): void => {
    if (until > end) filled.push({ name, offset: end, numBytes: until - end, sha256: null })
  }
  for (const range of ranges.toSorted((a, b) => a.offset - b.offset)) {
    if (range.offset < end) throw new Error(`two ranges of ${name} overlap at byte ${range.offset}`)
    fill(range.offset)
    const { offset, numBytes, sha256 } = range
    filled.push({ name, offset, numBytes, sha256 })
    end = offset + numBytes
  }
  fill(fileBytes)
  return filled
}

/** `sha256 offset bytes name`, a line a range. */
export const formatChecksums = (ranges: readonly FileRange[]): string =>
  ranges
    .map(
      ({ name, offset, numBytes, sha256 }) => `${sha256 ?? zeros} ${offset} ${numBytes} ${name}\n`,
    )
    .join('')

/** @throws ModelFolderError for a line that is none or cut off, or a file whose ranges are not all of it */
export const parseChecksums = (path: string, text: string): FileRange[] => {
  if (!text.endsWith('\n'))
    throw new ModelFolderError(path, 'it is cut off: convert the model anew')
  const ends = new Map<string, number>()
  return text
    .split('\n')
    .slice(0, -1)
    .map((line, index) => {
      const error = (reason: string) => new ModelFolderError(path, `line ${index + 1} ${reason}`)
      const match = /^([0-9a-f]{64}|zeros) (\d+) (\d+) ([\w.-]+)$/.exec(line)
      if (match === null) throw error('is no checksum')
      const [, sha256 = '', offset, numBytes, name = ''] = match
      const range = {
        name,
        offset: Number(offset),
        numBytes: Number(numBytes),
        sha256: sha256 === zeros ? null : sha256,
      }
      if (range.offset !== (ends.get(name) ?? 0)) throw error(`does not go on where ${name} ended`)
      ends.set(name, range.offset + range.numBytes)
      return range
    })
}

/** Of the converted model in `folder`. @throws ModelFolderError */
export const readChecksums = (folder: string): FileRange[] => {
  const path = join(folder, checksumsFile)
  if (!existsSync(path)) {
    throw new ModelFolderError(
      folder,
      `it has no ${checksumsFile}, so it is no converted model: convert it with \`burrow shard\``,
    )
  }
  return parseChecksums(path, readModelText(path, maxChecksumsBytes))
}
