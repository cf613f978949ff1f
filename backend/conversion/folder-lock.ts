/**
 * One process at a time converts to a folder. The lock is SQLite's on a file beside it, so the system's own:
 * it ends with its process, however that ends, and nothing is ever stale. On a network file system it holds
 * as far as that one's locks (fcntl) do; where it has none, SQLite says so.
 */
import { rmSync, statSync } from 'node:fs'
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
  let before: string | null
  let database: DatabaseSync | undefined
  try {
    before = identityOf(path)
    database = new DatabaseSync(path, { timeout: 0 })
    // Nothing is written: no journal of SQLite's own need lie beside the file.
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
  } catch (cause) {
    database?.close()
    const reason = cause instanceof Error ? cause.message : String(cause)
    if (reason.includes('locked')) return null
    throw new Error(
      `cannot write beside ${path.replace(/\.lock$/, '')}: ${path} cannot be locked (${reason}): ` +
        'make its folder writable, or choose another one',
      { cause },
    )
  }
  // Whoever had it before may have removed the file: then this is the lock of a name that is gone.
  if (before === null || before !== identityOf(path)) {
    database.close()
    return null
  }
  return {
    release: () => {
      try {
        // Somebody may have cleared the folder, and a third one begun there anew.
        if (identityOf(path) === before) rmSync(path, { force: true })
      } finally {
        database.close()
      }
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
