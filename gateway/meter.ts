/** The books: what one forwarded request used, stored exactly once when it has settled. */
import type { Log, LogFields } from '../shared/log.ts'
import type { Exchange, Settlement } from '../shared/tunnel/exchange.ts'
import type { Database } from './db/database.ts'
import { insertUsageRecord, type UsageRecord } from './db/usage-records.ts'
import { errorFields } from './error-fields.ts'

export type MeterOptions = {
  readonly db: Database
  readonly log: Log
  /** ms since the epoch. */
  readonly now: () => number
}

/** What is known of a request when it is sent. */
export type MeteredRequest = Pick<
  UsageRecord,
  'requestId' | 'keyId' | 'backendId' | 'model' | 'route' | 'stream' | 'startedAt'
> & { readonly clientRequestId: string | undefined }

export class Meter {
  readonly #options: MeterOptions
  readonly #request: MeteredRequest
  #firstBytesAt: number | null = null

  constructor(options: MeterOptions, request: MeteredRequest) {
    this.#options = options
    this.#request = request
  }

  /** The first bytes of the answer are on their way to the client. */
  firstBytes(): void {
    this.#firstBytesAt = this.#options.now()
  }

  /**
   * Waits for the final count and stores the record. Never rejects: a record that cannot be stored
   * is written to the log with its figures.
   */
  async settle(exchange: Exchange, status: Promise<number>): Promise<void> {
    const record = this.#record(await exchange.settled, await status)
    const { log, db } = this.#options
    const fields = logFields(record, this.#request.clientRequestId)
    try {
      await insertUsageRecord(db, record)
      log.info('request done', fields)
    } catch (error) {
      log.error('usage not stored', { ...fields, ...errorFields(error) })
    }
  }

  #record(settlement: Settlement, status: number): UsageRecord {
    const { clientRequestId: _, ...request } = this.#request
    const { startedAt, stream } = request
    const first = this.#firstBytesAt
    return {
      ...request,
      status,
      outcome: settlement.outcome,
      promptTokens: settlement.usage?.promptTokens ?? 0,
      completionTokens: settlement.usage?.completionTokens ?? 0,
      tokensSource: settlement.usage ? 'reported' : 'lost',
      ttftMs: stream && first !== null ? first - startedAt : null,
      durationMs: this.#options.now() - startedAt,
    }
  }
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
