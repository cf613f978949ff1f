/** The books: what one forwarded request used, stored exactly once when it has settled. */
import type { Log, LogFields } from '../../shared/log.ts'
import type { Exchange, Settlement } from '../../shared/tunnel/exchange.ts'
import type { Database } from '../db/database.ts'
import { insertUsageRecord, type UsageRecord } from '../db/usage-records.ts'
import { errorFields } from '../error-fields.ts'
import type { MeteredRequest } from './ticket.ts'

export type MeterOptions = {
  readonly db: Database
  readonly log: Log
  /** ms since the epoch. */
  readonly now: () => number
}

export class Meter {
  readonly #options: MeterOptions
  readonly #request: MeteredRequest
  readonly #clientRequestId: string | undefined
  #firstBytesAt: number | null = null

  /** @param clientRequestId the client's own name for it, for the log */
  constructor(options: MeterOptions, request: MeteredRequest, clientRequestId: string | undefined) {
    this.#options = options
    this.#request = request
    this.#clientRequestId = clientRequestId
  }

  /** The first bytes of the answer are on their way to the client. */
  firstBytes(): void {
    this.#firstBytesAt = this.#options.now()
  }

  /**
   * Waits for the count and stores the record. Never rejects: a record that cannot be stored is
   * written to the log with its figures.
   * @returns whether the final count is in the books, and the backend may forget it
   */
  async settle(exchange: Exchange, status: Promise<number>): Promise<boolean> {
    const record = this.#record(await exchange.settled, await status)
    const { log, db } = this.#options
    const fields = logFields(record, this.#clientRequestId)
    try {
      await insertUsageRecord(db, record)
      log.info('request done', fields)
      return record.tokensSource === 'reported'
    } catch (error) {
      log.error('usage not stored', { ...fields, ...errorFields(error) })
      return false
    }
  }

  #record(settlement: Settlement, status: number): UsageRecord {
    const { startedAt, stream } = this.#request
    const first = this.#firstBytesAt
    return {
      ...this.#request,
      status,
      outcome: settlement.outcome,
      promptTokens: settlement.usage?.promptTokens ?? 0,
      completionTokens: settlement.usage?.completionTokens ?? 0,
      tokensSource: sourceOf(settlement),
      ttftMs: stream && first !== null ? first - startedAt : null,
      durationMs: this.#options.now() - startedAt,
    }
  }
}

const sourceOf = ({ usage, isFinal }: Settlement): UsageRecord['tokensSource'] => {
  if (usage === null) return 'lost'
  return isFinal ? 'reported' : 'last_reported'
}

const logFields = (record: UsageRecord, clientRequestId: string | undefined): LogFields => ({
  request: record.requestId,
  clientRequest: clientRequestId,
  key: record.keyId,
  backend: record.backendId,
  model: record.model,
  status: record.status,
  outcome: record.outcome,
  prompt: record.promptTokens,
  completion: record.completionTokens,
  tokens: record.tokensSource,
  ms: record.durationMs,
})
