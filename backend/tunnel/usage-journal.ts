/**
 * Final counts on disk, from before the gateway is told until it says that they are in its books. They
 * outlive the connection and this process. A file of SQLite in the backend's home: what is committed
 * survives the death of the process; a power cut may take the last moments'.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import type { Log } from '../../shared/log.ts'
import type { Usage } from '../../shared/openai/usage.ts'

/** A request's final count. */
export type CountedRequest = {
  readonly requestId: string
  /** The backend process that ran it. */
  readonly instanceId: string
  /** The gateway's own, given back with the count. */
  readonly ticket: string | undefined
  readonly usage: Usage
}

/** A gateway that does not come back for so long has other books. */
const maxAgeMs = 30 * 24 * 3600 * 1000
const maxCounts = 100_000
/** How long a statement waits for another process of this home. */
const busyTimeoutMs = 2000

export type UsageJournalOptions = {
  readonly log: Log
  /** ms since the epoch. */
  readonly now?: () => number
  /** Counts at most; the oldest give way. */
  readonly limit?: number
}

export class UsageJournal {
  readonly #sqlite: DatabaseSync
  readonly #options: UsageJournalOptions
  readonly #insert: StatementSync
  readonly #remove: StatementSync
  readonly #oldest: StatementSync
  #count: number

  /**
   * Opens the journal of a home, which several processes may share.
   * @throws Error that names the file when it cannot be used
   */
  constructor(home: string, options: UsageJournalOptions) {
    this.#options = options
    const file = join(home, 'usage-journal.db')
    try {
      mkdirSync(home, { recursive: true, mode: 0o700 })
      this.#sqlite = new DatabaseSync(file, { timeout: busyTimeoutMs })
      this.#sqlite.exec(`
        PRAGMA journal_mode = WAL;
        PRAGMA synchronous = NORMAL;
        CREATE TABLE IF NOT EXISTS counts (
          gateway TEXT NOT NULL,
          request_id TEXT NOT NULL,
          instance_id TEXT NOT NULL,
          ticket TEXT,
          prompt_tokens INTEGER NOT NULL,
          completion_tokens INTEGER NOT NULL,
          counted_at INTEGER NOT NULL,
          PRIMARY KEY (gateway, request_id)
        ) STRICT;
        CREATE INDEX IF NOT EXISTS counts_by_time ON counts (counted_at);
      `)
      const { now = Date.now } = options
      this.#sqlite.prepare('DELETE FROM counts WHERE counted_at < ?').run(now() - maxAgeMs)
      this.#insert = this.#sqlite.prepare(
        'INSERT OR REPLACE INTO counts VALUES (?, ?, ?, ?, ?, ?, ?)',
      )
      this.#remove = this.#sqlite.prepare('DELETE FROM counts WHERE gateway = ? AND request_id = ?')
      this.#oldest = this.#sqlite.prepare(
        'SELECT * FROM counts WHERE gateway = ? ORDER BY counted_at, request_id LIMIT ?',
      )
      this.#count = this.#countAll()
    } catch (cause) {
      throw new Error(`cannot use the usage journal ${file}: ${String(cause)}`, { cause })
    }
  }

  /** @param gateway names the books that the count belongs to */
  add(gateway: string, { requestId, instanceId, ticket, usage }: CountedRequest): void {
    const { now = Date.now, limit = maxCounts } = this.#options
    const { promptTokens, completionTokens } = usage
    const at = now()
    this.#insert.run(
      gateway,
      requestId,
      instanceId,
      ticket ?? null,
      promptTokens,
      completionTokens,
      at,
    )
    this.#count++
    if (this.#count > limit) this.#makeRoom(limit)
  }

  remove(gateway: string, requestIds: readonly string[]): void {
    for (const id of requestIds) this.#count -= Number(this.#remove.run(gateway, id).changes)
  }

  /** The gateway's counts that were not removed, the oldest first. */
  oldest(gateway: string, limit: number): CountedRequest[] {
    return this.#oldest.all(gateway, limit).map((row) => ({
      requestId: String(row['request_id']),
      instanceId: String(row['instance_id']),
      ticket: row['ticket'] === null ? undefined : String(row['ticket']),
      usage: {
        promptTokens: Number(row['prompt_tokens']),
        completionTokens: Number(row['completion_tokens']),
      },
    }))
  }

  /** Idempotent. */
  close(): void {
    if (this.#sqlite.isOpen) this.#sqlite.close()
  }

  /** Of all processes of this home. */
  #countAll(): number {
    return Number(this.#sqlite.prepare('SELECT count(*) AS n FROM counts').get()?.['n'])
  }

  #makeRoom(limit: number): void {
    // A tenth at a time: not a deletion with each request.
    const surplus = this.#countAll() - Math.floor(limit * 0.9)
    const removed = this.#sqlite
      .prepare(
        'DELETE FROM counts WHERE rowid IN (SELECT rowid FROM counts ORDER BY counted_at LIMIT ?)',
      )
      .run(Math.max(0, surplus)).changes
    this.#count = this.#countAll()
    this.#options.log.warn('the usage journal is full: its oldest counts are dropped', {
      dropped: Number(removed),
    })
  }
}
