/** Where a conversion goes: told apart from what no conversion can be put in the place of. */
import { lstat, readFile, realpath, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
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

/** Linux's table of all that is mounted. */
const mountTable = '/proc/self/mountinfo'

/** Blanks and backslashes are written as octal numbers there. */
const unescaped = (path: string): string =>
  path.replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  )

/** @param table its lines; the fifth word of each is where */
export const mountPoints = (table: string): Set<string> =>
  new Set(table.split('\n').flatMap((line) => line.split(' ').slice(4, 5).map(unescaped)))

/** Another disk's root, or a folder of the same disk that is bound there, as a container's volume may be. */
const isMountPoint = async (folder: string): Promise<boolean> => {
  const own = await stat(folder).catch(() => null)
  const parent = await stat(dirname(folder)).catch(() => null)
  if (own === null || parent === null) return false
  if (own.dev !== parent.dev) return true
  const table = await readFile(mountTable, 'utf8').catch(() => '')
  return mountPoints(table).has(folder)
}

/**
 * A folder is put in its place by renaming, which no mount point can take.
 * @throws ModelFolderError
 */
export const refuseMountPoint = async (folder: string): Promise<void> => {
  if (!(await isMountPoint(folder))) return
  const inside = join(folder, 'model')
  throw new ModelFolderError(
    folder,
    `it is a mount point: name a folder inside it, such as ${inside}`,
  )
}
