/** Compares the gateway's books with what was really made. */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Violations } from './violations.ts'
import { promptTokens, type Workshop } from './workshop.ts'

type Row = {
  readonly request_id: string
  readonly status: number
  readonly outcome: string
  readonly prompt_tokens: number
  readonly completion_tokens: number
  readonly tokens_source: string
}

/** The records of requests that ended since the last look. */
export class Books {
  readonly #sqlite: DatabaseSync
  #seen = 0

  constructor(home: string) {
    this.#sqlite = new DatabaseSync(join(home, 'burrow.db'), { readOnly: true })
  }

  /** Whether every run has a final record, which may take until a journal has come through. */
  isComplete(workshop: Workshop): boolean {
    const rows = new Map(this.#rows().map((row) => [row.request_id, row]))
    for (const id of workshop.runs.keys()) {
      if (rows.get(id)?.tokens_source !== 'reported') return false
    }
    return true
  }

  /** All records since the last check are true, and each run has one. Counts them by source. */
  check(workshop: Workshop, violations: Violations): ReadonlyMap<string, number> {
    const bySource = new Map<string, number>()
    const rows = this.#rows()
    const ids = new Set(rows.map((row) => row.request_id))
    for (const row of rows) {
      bySource.set(row.tokens_source, (bySource.get(row.tokens_source) ?? 0) + 1)
      this.#checkRow(row, workshop, violations)
    }
    for (const id of workshop.runs.keys()) {
      if (!ids.has(id)) violations.add(`${id} ran and is not in the books`)
    }
    this.#seen += rows.length
    return bySource
  }

  close(): void {
    this.#sqlite.close()
  }

  #rows(): Row[] {
    const rows = this.#sqlite
      .prepare('SELECT * FROM usage_records ORDER BY rowid LIMIT -1 OFFSET ?')
      .all(this.#seen)
    return rows as unknown[] as Row[]
  }

  #checkRow(row: Row, workshop: Workshop, violations: Violations): void {
    const run = workshop.runs.get(row.request_id)
    const told = JSON.stringify(row)
    if (!run) {
      if (row.completion_tokens > 0) violations.add(`a record of what never ran: ${told}`)
    } else if (row.tokens_source !== 'reported') {
      violations.add(`a run whose final count never came: ${told}`)
    } else if (
      row.completion_tokens !== run.completionTokens ||
      row.prompt_tokens !== promptTokens
    ) {
      violations.add(`${run.completionTokens} were made, but: ${told}`)
    }
  }
}
