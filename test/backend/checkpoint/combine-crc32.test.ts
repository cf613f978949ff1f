import { randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { expect, test } from 'vitest'
import { combineCrc32 } from '../../../backend/checkpoint/combine-crc32.ts'

test.each([[[]], [[1000]], [[1, 0, 3]], [[4096, 70_001, 5]], [[1 << 20, 12]]])(
  'parts of %j bytes have the checksum of the whole',
  (lengths) => {
    const parts = lengths.map((length) => randomBytes(length))
    const sums = parts.map((part) => ({ crc32: crc32(part), numBytes: part.length }))
    expect(combineCrc32(sums)).toBe(crc32(Buffer.concat(parts)))
  },
)
