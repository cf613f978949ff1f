/** The folder beside the wanted one in which a conversion grows; a later one goes on in it. */
import { existsSync } from 'node:fs'
import { mkdir, open, readdir, rm, stat, statfs } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { formatByteSize } from '../byte-size.ts'
import { isGraphFile } from '../graph/manifest.ts'
import { ModelFolderError } from '../model-folder-error.ts'
import { checksumsFile } from './checksums.ts'
import { Journal, type FinishedPiece, type JournalHead } from './journal.ts'
import { isMissing, syncFolder } from './publish-folder.ts'
import { isTextFile } from './text-files.ts'

const journalFile = 'journal.jsonl'

/** The manifest's name until everything that it speaks for is on disk. */
export const unfinishedManifest = 'manifest.json.tmp'

/** Names that a folder has only while it is not whole. */
const passingFiles: readonly string[] = [journalFile, unfinishedManifest]

/** A file of weights and its size. */
export type Output = { readonly name: string; readonly numBytes: number }

export type PartialFolder = {
  readonly journal: Journal
  /** What an earlier conversion has done. */
  readonly finished: readonly FinishedPiece[]
}

/** @throws ModelFolderError when it is not a conversion's: then it is somebody's */
const removePartial = async (folder: string): Promise<void> => {
  const names = await readdir(folder).catch((error: unknown) => {
    if (isMissing(error)) return []
    throw new ModelFolderError(folder, error)
  })
  const isOwn = (name: string): boolean =>
    isGraphFile(name) || isTextFile(name) || name === checksumsFile || passingFiles.includes(name)
  const foreign = names.find((name) => !isOwn(name))
  if (foreign !== undefined) {
    throw new ModelFolderError(folder, `it holds ${foreign}, which is not of a conversion: move it`)
  }
  await rm(folder, { recursive: true, force: true })
}

/** Bytes that the files take on disk so far; null unless all are there in full size. */
const allocatedBytes = async (folder: string, outputs: readonly Output[]) => {
  let allocated = 0
  for (const { name, numBytes } of outputs) {
    const stats = await stat(join(folder, name)).catch(() => null)
    if (stats?.size !== numBytes) return null
    allocated += Math.min(numBytes, stats.blocks * 512)
  }
  return allocated
}

/** @throws ModelFolderError with the numbers when the disk has no room for the rest */
const checkSpace = async (folder: string, totalBytes: number, allocated: number): Promise<void> => {
  const { bavail, bsize } = await statfs(dirname(folder))
  if (totalBytes - allocated <= bavail * bsize) return
  const written = allocated > 0 ? `, of which ${formatByteSize(allocated)} are written` : ''
  throw new ModelFolderError(
    dirname(folder),
    `it has no room: the converted model takes ${formatByteSize(totalBytes)}${written}, but only ` +
      `${formatByteSize(bavail * bsize)} are free on this disk`,
  )
}

/**
 * Goes on where a conversion with this head has stopped, or begins anew with files of zeros.
 * @throws ModelFolderError when the disk is too small or something else is in the folder
 */
export const openPartialFolder = async (
  folder: string,
  head: JournalHead,
  outputs: readonly Output[],
): Promise<PartialFolder> => {
  const totalBytes = outputs.reduce((sum, { numBytes }) => sum + numBytes, 0)
  const allocated = await allocatedBytes(folder, outputs)
  const resumed = allocated === null ? null : await Journal.resume(join(folder, journalFile), head)
  if (resumed !== null) {
    await checkSpace(folder, totalBytes, allocated ?? 0)
    return { journal: resumed.journal, finished: resumed.pieces }
  }
  await removePartial(folder)
  await checkSpace(folder, totalBytes, 0)
  await mkdir(folder)
  for (const { name, numBytes } of outputs) {
    const file = await open(join(folder, name), 'wx')
    await file.truncate(numBytes)
    await file.close()
  }
  const journal = await Journal.create(join(folder, journalFile), head)
  await syncFolder(folder)
  await syncFolder(dirname(folder))
  return { journal, finished: [] }
}

/** Whether the folder is still to be made whole: its journal is the last thing to go. */
export const hasJournal = (folder: string): boolean => existsSync(join(folder, journalFile))

/** The folder is whole, and its journal is not of it. */
export const removeJournal = async (folder: string): Promise<void> => {
  await rm(join(folder, journalFile), { force: true })
  await syncFolder(folder)
}
