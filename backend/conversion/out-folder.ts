/** Where a conversion goes: told apart from what no conversion can be put in the place of. */
import { lstat, realpath, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { ModelFolderError } from '../model-folder-error.ts'
import { isMissing } from './publish-folder.ts'

/**
 * Follows links, so that what one leads to is replaced, not the link.
 * @param path of a folder, which need not be there
 * @throws ModelFolderError for a file, or a link to nowhere
 */
export const resolveOutFolder = async (path: string): Promise<string> => {
  let folder: string
  try {
    folder = await realpath(path)
  } catch (error) {
    if (!isMissing(error)) throw new ModelFolderError(path, error)
    const link = await lstat(path).catch(() => null)
    if (link === null) return path
    throw new ModelFolderError(path, 'it is a link to a folder that is not there: make that folder')
  }
  if ((await stat(folder)).isDirectory()) return folder
  throw new ModelFolderError(path, 'it is a file, not a folder: name a new or an empty folder')
}

/**
 * A folder is put in its place by renaming, which no other disk's root can take.
 * @throws ModelFolderError
 */
export const refuseMountPoint = async (folder: string): Promise<void> => {
  const own = await stat(folder).catch(() => null)
  const parent = await stat(dirname(folder)).catch(() => null)
  if (own === null || parent === null || own.dev === parent.dev) return
  throw new ModelFolderError(folder, 'it is a mount point: name a folder inside it')
}
