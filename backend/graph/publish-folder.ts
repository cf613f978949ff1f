/** Puts a finished conversion in its place by renaming, so that nobody ever sees half of one. */
import { readdir, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { ModelFolderError } from '../model-folder-error.ts'
import { isGraphFile } from './manifest.ts'

/** Others may publish or clear away in between; each has its own finished copy, so few suffice. */
const maxAttempts = 5

/** A conversion that is still going on is younger than this. */
const leftoverAgeMs = 24 * 60 * 60 * 1000

const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ENOENT'

/** Names in a folder; none where there is no folder. */
const namesIn = async (folder: string): Promise<string[]> => {
  try {
    return await readdir(folder)
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

/** Removes what conversions to `folder` left that were killed long ago. */
export const removeLeftovers = async (folder: string): Promise<void> => {
  const parent = dirname(folder)
  for (const name of await namesIn(parent)) {
    if (!name.startsWith(`${basename(folder)}.tmp-`)) continue
    const path = join(parent, name)
    if ((await ageMs(path)) > leftoverAgeMs) await rm(path, { recursive: true, force: true })
  }
}

/** 0 for what is gone meanwhile: the conversion that made it has ended. */
const ageMs = async (path: string): Promise<number> => {
  try {
    return Date.now() - (await stat(path)).mtimeMs
  } catch (error) {
    if (isMissing(error)) return 0
    throw error
  }
}

/** @throws ModelFolderError when there is something else than a conversion */
const refuseForeignFiles = async (folder: string): Promise<void> => {
  const foreign = (await namesIn(folder)).find((name) => !isGraphFile(name))
  if (foreign === undefined) return
  throw new ModelFolderError(
    folder,
    `it holds ${foreign}, which is not of a converted model: choose an empty folder`,
  )
}

/**
 * Renames `temporary` to `folder`. An older conversion there is replaced, foreign files never are.
 * @param isPublished whether `folder` holds this very conversion already, from another process
 * @throws ModelFolderError when `folder` holds other files
 */
export const publishFolder = async (
  temporary: string,
  folder: string,
  isPublished: () => Promise<boolean>,
): Promise<void> => {
  for (let attempt = 1; ; attempt++) {
    if (await isPublished()) return
    await refuseForeignFiles(folder)
    try {
      // Over a folder with files in it this fails, and nothing has changed.
      await rename(temporary, folder)
      return
    } catch (error) {
      if (attempt === maxAttempts) throw error
    }
    await clearAway(folder, `${temporary}-old`)
  }
}

/** A process that has the old model loaded keeps it: its files live on without a name. */
const clearAway = async (folder: string, aside: string): Promise<void> => {
  try {
    await rename(folder, aside)
  } catch (error) {
    if (!isMissing(error)) throw error
  }
  await rm(aside, { recursive: true, force: true })
}
