/** Reads a range of a file, blocking the thread, and compares it with its checksum. */
import { createHash } from 'node:crypto'
import { closeSync, openSync, readSync } from 'node:fs'
import type { FileRange } from './checksums.ts'

export type RangeToCheck = FileRange & { readonly path: string }

/** One of each in a thread: a new one for each range would wait long for the garbage collector. */
const buffer = Buffer.alloc(4 << 20)
const zeros = Buffer.alloc(buffer.length)

/** @returns whether the bytes are those that were written; a file that ends before has others */
export const isRight = ({ path, offset, numBytes, sha256 }: RangeToCheck): boolean => {
  const hash = createHash('sha256')
  const file = openSync(path, 'r')
  try {
    for (let done = 0; done < numBytes;) {
      const wanted = Math.min(buffer.length, numBytes - done)
      const bytesRead = readSync(file, buffer, 0, wanted, offset + done)
      if (bytesRead === 0) return false
      const bytes = buffer.subarray(0, bytesRead)
      if (sha256 !== null) hash.update(bytes)
      else if (!bytes.equals(zeros.subarray(0, bytesRead))) return false
      done += bytesRead
    }
    return sha256 === null || hash.digest('hex') === sha256
  } finally {
    closeSync(file)
  }
}
