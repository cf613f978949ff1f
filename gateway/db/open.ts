/**
 * The SQLite database on Node: node:sqlite under drizzle's proxy driver, which gives the same
 * asynchronous interface as D1. Opening it brings its schema up to date.
 */
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { readMigrationFiles } from 'drizzle-orm/migrator'
import { drizzle, type SqliteRemoteDatabase } from 'drizzle-orm/sqlite-proxy'
import { migrate } from 'drizzle-orm/sqlite-proxy/migrator'

/** How long a statement waits for another process's write. */
const busyTimeoutMs = 5000
const maxPreparedStatements = 200

const ownMigrations = join(import.meta.dirname, '../../migrations')

export type OpenDatabase = {
  readonly db: SqliteRemoteDatabase
  /** Closes the file; queries fail from then on. Safe to call again. */
  close(): void
}

/**
 * Opens or creates the database in `file` and applies the migrations in `migrationsFolder`.
 * Several processes may do so at once. Fails, with what to do, on a database that a newer Burrow
 * has migrated.
 */
export const openDatabase = async (
  file: string,
  migrationsFolder: string = ownMigrations,
): Promise<OpenDatabase> => {
  const sqlite = openFile(file)
  try {
    await useWriteAheadLog(sqlite)
    sqlite.exec('PRAGMA synchronous = NORMAL')
    const db = proxied(sqlite)
    await applyMigrations(sqlite, db, file, migrationsFolder)
    return { db, close: () => sqlite.isOpen && sqlite.close() }
  } catch (error) {
    sqlite.close()
    throw naming(file, error)
  }
}

const openFile = (file: string): DatabaseSync => {
  try {
    return new DatabaseSync(file, { timeout: busyTimeoutMs })
  } catch (error) {
    throw naming(file, error)
  }
}

/** SQLite's own errors do not say which file they are about. */
const naming = (file: string, error: unknown): unknown =>
  error instanceof Error && 'code' in error && error.code === 'ERR_SQLITE_ERROR'
    ? new Error(`cannot use the database ${file}: ${error.message}`, { cause: error })
    : error

/** SQLite does not apply its busy timeout to a change of the journal mode, so the wait is here. */
const useWriteAheadLog = async (sqlite: DatabaseSync): Promise<void> => {
  const deadline = performance.now() + busyTimeoutMs
  for (;;) {
    try {
      sqlite.exec('PRAGMA journal_mode = WAL')
      return
    } catch (error) {
      if (performance.now() > deadline || !String(error).includes('locked')) throw error
      await delay(10)
    }
  }
}

type Method = 'run' | 'all' | 'values' | 'get'

const proxied = (sqlite: DatabaseSync): SqliteRemoteDatabase => {
  const statements = new Map<string, StatementSync>()
  const prepared = (text: string): StatementSync => {
    const known = statements.get(text)
    if (known) return known
    const statement = sqlite.prepare(text)
    statement.setReturnArrays(true)
    if (statements.size >= maxPreparedStatements) statements.clear()
    statements.set(text, statement)
    return statement
  }
  const execute = (text: string, params: SQLInputValue[], method: Method): { rows: unknown[] } => {
    const statement = prepared(text)
    if (method !== 'get') return { rows: statement.all(...params) }
    // Drizzle reads a missing row from missing rows, which its type does not foresee.
    const row: unknown = statement.get(...params)
    return { rows: row as unknown[] }
  }
  return drizzle(
    async (text, params, method) => execute(text, params, method),
    async (queries) =>
      inTransaction(sqlite, () => queries.map((q) => execute(q.sql, q.params, q.method))),
  )
}

const inTransaction = <T>(sqlite: DatabaseSync, work: () => T): T => {
  sqlite.exec('BEGIN IMMEDIATE')
  try {
    const result = work()
    sqlite.exec('COMMIT')
    return result
  } catch (error) {
    if (sqlite.isTransaction) sqlite.exec('ROLLBACK')
    throw error
  }
}

/**
 * The write lock is taken before drizzle looks which migrations are missing, so that a second
 * process waits and then finds none. Foreign keys are off meanwhile, because rebuilding a table
 * (as SQLite's ALTER TABLE page prescribes) would otherwise cascade; they are checked at the end.
 */
const applyMigrations = async (
  sqlite: DatabaseSync,
  db: SqliteRemoteDatabase,
  file: string,
  migrationsFolder: string,
): Promise<void> => {
  const newest = Math.max(...readMigrationFiles({ migrationsFolder }).map((m) => m.folderMillis))
  sqlite.exec('PRAGMA foreign_keys = OFF')
  sqlite.exec('BEGIN IMMEDIATE')
  try {
    await migrate(
      db,
      async (queries) => {
        for (const query of queries) sqlite.exec(query)
      },
      { migrationsFolder },
    )
    const applied = sqlite.prepare('SELECT max(created_at) AS at FROM __drizzle_migrations').get()
    if (Number(applied?.['at']) > newest) {
      throw new Error(
        `the database ${file} was made by a newer Burrow: update Burrow, or use another --home`,
      )
    }
    const broken = sqlite.prepare('PRAGMA foreign_key_check').all()
    if (broken.length > 0) throw new Error(`the database ${file} has broken references`)
    sqlite.exec('COMMIT')
  } catch (error) {
    if (sqlite.isTransaction) sqlite.exec('ROLLBACK')
    throw error
  }
  sqlite.exec('PRAGMA foreign_keys = ON')
}
