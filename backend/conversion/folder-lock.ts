/**
 * One process at a time converts to a folder. The lock is SQLite's on a file beside it, so the system's own:
 * it ends with its process, however that ends, and nothing is ever stale. On a network file system it holds
 * as far as that one's locks (fcntl) do; where it has none, SQLite says so.
 */
import { statSync, unlinkSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout } from 'node:timers/promises'

/** Between two looks at a lock that another process has. */
const pollMs = 200

type Lock = { release(): void }

/** Tells a file from another one that took its name. */
const identityOf = (path: string): string | null => {
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false })
  return stats === undefined ? null : `${stats.ino} ${stats.birthtimeNs}`
}

/** null while another has it. The file may be made anew, so that the next attempt finds it. */
const tryLock = (path: string): Lock | null => {
  const before = identityOf(path)
  const database = new DatabaseSync(path, { timeout: 0 })
  try {
    // Nothing is written: no journal of SQLite's own need lie beside the file.
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
  } catch (cause) {
    database.close()
    if (String(cause).includes('locked')) return null
    throw new Error(`cannot lock ${path}: ${String(cause)}`, { cause })
  }
  // Whoever had it before may have removed the file: then this is the lock of a name that is gone.
  if (before === null || before !== identityOf(path)) {
    database.close()
    return null
  }
  return {
    release: () => {
      unlinkSync(path)
      database.close()
    },
  }
}

/**
 * Runs `use` while no other process, thread or call has the lock.
 * @param path of the lock's file, which is there only while somebody has it, or was killed with it
 * @param onWait called once when another has it
 * @throws the signal's reason when it is aborted while this waits
 */
export const withFolderLock = async <T>(
  path: string,
  { onWait, signal }: { readonly onWait: () => void; readonly signal?: AbortSignal | undefined },
  use: () => Promise<T>,
): Promise<T> => {
  // The first attempt may make the file, the second take it.
  let lock = tryLock(path) ?? tryLock(path)
  if (lock === null) onWait()
  while (lock === null) {
    await setTimeout(pollMs, undefined, { signal })
    lock = tryLock(path)
  }
  try {
    return await use()
  } finally {
    lock.release()
  }
}
