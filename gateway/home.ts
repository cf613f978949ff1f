/** The data directory: its place for each file, and the lock that keeps it to one gateway. */
import { access, constants, mkdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

export const databasePath = (home: string): string => join(home, 'burrow.db')
export const pepperPath = (home: string): string => join(home, 'pepper')

/**
 * Makes the directory for its owner alone. Fails, with the cure, on one that others can enter or
 * that we cannot write in.
 */
export const openHome = async (home: string): Promise<void> => {
  try {
    await mkdir(home, { recursive: true, mode: 0o700 })
    await access(home, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new Error(`cannot use ${home}: ${reason}; choose another --home`, { cause })
  }
  const stats = await stat(home)
  if ((stats.mode & 0o077) !== 0) {
    throw new Error(
      `others can enter ${home}, which holds secrets: run chmod 700 ${home}, or choose another --home`,
    )
  }
}

/**
 * Takes the directory for this gateway, until `release` or the end of the process, however it
 * ends: SQLite's exclusive lock is the system's own, and needs no clearing up after a crash.
 */
export const lockHome = (home: string): { release(): void } => {
  const lock = new DatabaseSync(join(home, 'gateway.lock'), { timeout: 0 })
  try {
    lock.exec('BEGIN EXCLUSIVE')
  } catch (cause) {
    lock.close()
    if (!String(cause).includes('locked')) throw cause
    throw new Error(
      `another gateway is running in ${home}: stop it first, or choose another --home`,
      { cause },
    )
  }
  return { release: () => lock.isOpen && lock.close() }
}
