/** Reads a converted model back and compares it with its checksums. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { graphFiles, isInt8CacheFile, readManifest } from '../graph/manifest.ts'
import { ModelFolderError } from '../model-folder-error.ts'
import { isRight, type RangeToCheck } from './check-range.ts'
import { checksumsFile, readChecksums, type FileRange } from './checksums.ts'
import { checkSizes, requiredFiles, requireNames } from './find-conversion.ts'
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

/** @throws ModelFolderError for a file that is too many */
const refuseUnknown = async (folder: string, ranges: readonly FileRange[]): Promise<void> => {
  const known = new Set([checksumsFile, ...ranges.map(({ name }) => name)])
  // Those for a cache of int8 came later, and have checksums of their own (int8-cache.ts).
  const isKnown = (name: string) => known.has(name) || isInt8CacheFile(name)
  const foreign = (await readdir(folder)).find((name) => !isKnown(name))
  if (foreign === undefined) return
  throw new ModelFolderError(join(folder, foreign), 'it is not of the converted model')
}

/** @throws ModelFolderError unless the range's bytes are those that were written */
const requireRight = ({ path, offset, numBytes }: RangeToCheck, isSame: boolean): void => {
  if (isSame) return
  throw new ModelFolderError(
    path,
    `its bytes ${offset} to ${offset + numBytes - 1} are not those that were written: convert the model anew`,
  )
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
 * is missing, is too many, has another size or no checksum
 */
export const verifyConversion = async (
  folder: string,
  { onProgress, signal, tuning = defaultTuning }: VerifyOptions = {},
): Promise<number> => {
  const ranges = readChecksums(folder)
  requireNames(folder, ranges, [graphFiles.manifest])
  await checkSizes(folder, ranges)
  await refuseUnknown(folder, ranges)
  const jobs = ranges
    .flatMap(cutZeros)
    .map((range) => ({ ...range, path: join(folder, range.name) }))
  // Only a manifest that is as it was written says rightly what else must be there.
  for (const job of jobs) if (job.name === graphFiles.manifest) requireRight(job, isRight(job))
  requireNames(folder, ranges, requiredFiles(readManifest(folder)))
  const totalBytes = jobs.reduce((sum, { numBytes }) => sum + numBytes, 0)
  let doneBytes = 0
  const onAnswer = (range: RangeToCheck, answer: boolean): void => {
    requireRight(range, answer)
    doneBytes += range.numBytes
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
