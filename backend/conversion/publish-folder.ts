/** Puts a finished conversion in its place by renaming, so that nobody ever sees half of one. */
import { open, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isFields } from '../../shared/parse.ts'
import { graphFiles, isGraphFile } from '../graph/manifest.ts'
import { readModelText } from '../model-file.ts'
import { ModelFolderError } from '../model-folder-error.ts'
import { checksumsFile, readChecksums } from './checksums.ts'
import { isTextFile } from './text-files.ts'

/** Whether a file or folder is not there. */
export const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ENOENT'

/** Names in a folder; none where there is no folder. */
const namesIn = async (folder: string): Promise<string[]> => {
  try {
    return (await readdir(folder)).toSorted()
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

/** A manifest of any version. */
const hasOwnManifest = (folder: string): boolean => {
  try {
    const value: unknown = JSON.parse(readModelText(join(folder, graphFiles.manifest)))
    return (
      isFields(value) &&
      typeof value.formatVersion === 'number' &&
      typeof value.fingerprint === 'string'
    )
  } catch {
    return false
  }
}

/** What is left of a conversion whose manifest is damaged: nobody else writes such a file. */
const hasOwnChecksums = (folder: string): boolean => {
  try {
    return readChecksums(folder).some(({ name }) => name === graphFiles.manifest)
  } catch {
    return false
  }
}

/**
 * A conversion may be replaced, anything else never: also not a folder that has only files of names that a
 * conversion has too, such as somebody's own model.onnx, manifest.json or tokenizer.
 * @throws ModelFolderError when there is something else than a conversion
 */
export const refuseForeignFiles = async (folder: string): Promise<void> => {
  const names = await namesIn(folder)
  if (names.length === 0) return
  const isOurs = hasOwnManifest(folder) || hasOwnChecksums(folder)
  const isKnown = (name: string) => isGraphFile(name) || name === checksumsFile || isTextFile(name)
  const foreign = isOurs ? names.find((name) => !isKnown(name)) : names[0]
  if (foreign === undefined) return
  throw new ModelFolderError(
    folder,
    `it holds ${foreign}, which is not of a converted model: choose an empty folder`,
  )
}

/** Returns when the folder's names are on disk. */
export const syncFolder = async (folder: string): Promise<void> => {
  const handle = await open(folder)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/**
 * Renames `temporary` to `folder`, for which the caller has the lock. An older conversion there is replaced,
 * foreign files never are. A process that has the old model loaded keeps it: its files live on without a name.
 * @throws ModelFolderError when `folder` holds other files
 */
export const publishFolder = async (temporary: string, folder: string): Promise<void> => {
  const old = `${temporary}-old`
  await refuseForeignFiles(folder)
  await rm(old, { recursive: true, force: true })
  try {
    await rename(folder, old)
  } catch (error) {
    if (!isMissing(error)) throw new ModelFolderError(folder, error)
  }
  await rename(temporary, folder)
  await syncFolder(dirname(folder))
  await rm(old, { recursive: true, force: true })
}

/** As many wait for the disk together as Node has threads for files: the system serves them at once. */
const syncsAtOnce = 4

/** Returns when the files' bytes are on disk. */
export const syncFiles = async (folder: string, names: readonly string[]): Promise<void> => {
  const queue = names.values()
  const syncNext = async (): Promise<void> => {
    for (const name of queue) {
      const file = await open(join(folder, name))
      await file.sync()
      await file.close()
    }
  }
  await Promise.all(Array.from({ length: syncsAtOnce }, syncNext))
}
