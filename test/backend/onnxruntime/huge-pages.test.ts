import { existsSync, readFileSync } from 'node:fs'
import { release } from 'node:os'
import { expect, test } from 'vitest'
import { moveIntoHugePages } from '../../../backend/onnxruntime/huge-pages.ts'

const sysFile = '/sys/kernel/mm/transparent_hugepage/enabled'
const [major = 0, minor = 0] = release().split('.').map(Number)
/** By a Linux that is new enough, and its operator. */
const isOffered =
  existsSync(sysFile) &&
  !readFileSync(sysFile, 'utf8').includes('[never]') &&
  (major > 6 || (major === 6 && minor >= 1))

/** Of the whole process, in MiB. */
const memory = (field: 'Rss' | 'AnonHugePages'): number => {
  const text = readFileSync('/proc/self/smaps_rollup', 'utf8')
  return Number(new RegExp(`${field}: +(\\d+) kB`).exec(text)?.[1]) / 1024
}

test.skipIf(!isOffered)('memory that is filled moves, and stays what it was', () => {
  const mib = 2 ** 20
  const filled = new Uint8Array(64 * mib).fill(7)
  const empty = new Uint8Array(64 * mib)
  const before = { resident: memory('Rss'), huge: memory('AnonHugePages') }
  let numPieces = 0
  for (const _ of moveIntoHugePages()) numPieces++
  expect(numPieces).toBeGreaterThanOrEqual(31)
  // A machine short of memory may not have room for all.
  expect(memory('AnonHugePages') - before.huge).toBeGreaterThan(16)
  expect(memory('Rss') - before.resident).toBeLessThan(32)
  expect(filled.every((value) => value === 7)).toBe(true)
  expect(empty.every((value) => value === 0)).toBe(true)
})
