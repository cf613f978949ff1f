/** Reads a converted model back and compares it with its checksums. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { isGraphFile } from '../graph/manifest.ts'
import { ModelFolderError } from '../model-folder-error.ts'
import { isRight, type RangeToCheck } from './check-range.ts'
import { checksumsFile, readChecksums, type FileRange } from './checksums.ts'
import type { Progress } from './progress.ts'
import { defaultTuning, type Tuning } from './tuning.ts'
import { runInPool } from './worker-pool.ts'

/** A thread reads no more than this at once, so that the zeros of a whole file are shared among them. */
const rangeBytes = 64 << 20

const cutZeros = (range: FileRange): FileRange[] => {
  if (range.sha256 !== null || range.numBytes <= rangeBytes) return [range]
  return Array.from({ length: Math.ceil(range.numBytes / rangeBytes) }, (_, index) => ({
    ...range,
    offset: range.offset + index * rangeBytes,
    numBytes: Math.min(rangeBytes, range.numBytes - index * rangeBytes),
  }))
}

/** @throws ModelFolderError for a file that is missing, is too many or has another size */
const checkSizes = async (folder: string, ranges: readonly FileRange[]): Promise<void> => {
  const sizes = new Map<string, number>()
  for (const { name, offset, numBytes } of ranges) sizes.set(name, offset + numBytes)
  for (const [name, size] of sizes) {
    const path = join(folder, name)
    const found = await stat(path).catch((cause: unknown) => {
      throw new ModelFolderError(path, cause)
    })
    if (found.size === size) continue
    throw new ModelFolderError(path, `it has ${found.size} bytes, but ${size} were written`)
  }
  // Graphs may have come later, for a cache of int8.
  const isKnown = (name: string) => sizes.has(name) || name === checksumsFile || isGraphFile(name)
  const foreign = (await readdir(folder)).find((name) => !isKnown(name))
  if (foreign === undefined) return
  throw new ModelFolderError(join(folder, foreign), 'it is not of the converted model')
}

export type VerifyOptions = {
  readonly onProgress?: (progress: Progress) => void
  readonly signal?: AbortSignal
  /** For tests. */
  readonly tuning?: Pick<Tuning, 'minThreadedBytes'>
}

/**
 * @returns the bytes that were compared
 * @throws ModelFolderError that names the file and the place of the first difference found, or a file that
 * is missing, is too many or has another size
 */
export const verifyConversion = async (
  folder: string,
  { onProgress, signal, tuning = defaultTuning }: VerifyOptions = {},
): Promise<number> => {
  const ranges = await readChecksums(folder)
  await checkSizes(folder, ranges)
  const jobs = ranges
    .flatMap(cutZeros)
    .map((range) => ({ ...range, path: join(folder, range.name) }))
  const totalBytes = jobs.reduce((sum, { numBytes }) => sum + numBytes, 0)
  let doneBytes = 0
  const onAnswer = ({ path, offset, numBytes }: RangeToCheck, answer: boolean): void => {
    if (!answer) {
      throw new ModelFolderError(
        path,
        `its bytes ${offset} to ${offset + numBytes - 1} are not those that were written: convert the model anew`,
      )
    }
    doneBytes += numBytes
    onProgress?.({ doneBytes, totalBytes })
  }
  if (totalBytes < tuning.minThreadedBytes) for (const job of jobs) onAnswer(job, isRight(job))
  else {
    const script = new URL('./check-thread.ts', import.meta.url)
    await runInPool({ script, jobs, signal, onAnswer })
  }
  signal?.throwIfAborted()
  return totalBytes
}
