/** Clears away what conversions to a folder left beside it that were killed. */
import { lstat, readdir, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { isGraphFile } from '../graph/manifest.ts'

/** Earlier versions had no lock: what one of them still writes to is younger. */
const abandonedMs = 24 * 60 * 60 * 1000

/** As earlier versions named them: six characters of the system's choice. */
const earlierName = /^\.tmp-[A-Za-z0-9]{6}(-old)?$/

/** Whether nothing is in it but an earlier version's files, and none was written to for long. */
const isAbandoned = async (path: string): Promise<boolean> => {
  if (!(await lstat(path)).isDirectory()) return false
  const names = await readdir(path)
  const stats = await Promise.all(['.', ...names].map((name) => lstat(join(path, name))))
  const newestMs = Math.max(...stats.map(({ mtimeMs }) => mtimeMs))
  return names.every(isGraphFile) && Date.now() - newestMs > abandonedMs
}

const removeIfAbandoned = async (path: string): Promise<void> => {
  if (await isAbandoned(path)) await rm(path, { recursive: true, force: true })
}

/**
 * For the caller that has the folder's lock.
 * @param folder of the conversions
 * @param partial where they grow
 */
export const removeLeftovers = async (folder: string, partial: string): Promise<void> => {
  await rm(`${partial}-old`, { recursive: true, force: true })
  const parent = dirname(folder)
  for (const name of await readdir(parent)) {
    if (!name.startsWith(basename(folder))) continue
    if (!earlierName.test(name.slice(basename(folder).length))) continue
    // What cannot be looked into or removed, or is gone meanwhile, hinders nobody.
    await removeIfAbandoned(join(parent, name)).catch(() => {})
  }
}
