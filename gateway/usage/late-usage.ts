/** Final counts that come after a connection was lost, from a backend's journal: into the books, once. */
import type { Log } from '../../shared/log.ts'
import type { UsageReport } from '../../shared/tunnel/usage-message.ts'
import type { Pepper } from '../auth/pepper.ts'
import type { Database } from '../db/database.ts'
import { correctUsage, enterLateUsage } from '../db/usage-records.ts'
import { errorFields } from '../error-fields.ts'
import { openTicket } from './ticket.ts'

export type LateUsageOptions = {
  readonly db: Database
  readonly pepper: Pepper
  readonly log: Log
  /** ms since the epoch. */
  readonly now: () => number
}

/** The client's status is known to nobody: the gateway that answered it is gone. */
const unknownStatus = 0

/**
 * Enters a final count that a backend reports. One with a ticket may be another backend's, which shared
 * its home and is gone: the seal vouches for it.
 * @returns whether the backend may forget it: also where it can never be entered. False when the books
 *   cannot be written now.
 */
export const settleLateUsage = async (
  { db, pepper, log, now }: LateUsageOptions,
  reporterId: string,
  { requestId, usage, ticket }: UsageReport,
): Promise<boolean> => {
  const opened = ticket === undefined ? null : openTicket(pepper, ticket)
  const request = opened?.requestId === requestId ? opened : null
  const backendId = request?.backendId ?? reporterId
  const fields = { request: requestId, backend: backendId, ...usage }
  try {
    if (await correctUsage(db, { requestId, backendId, ...usage })) return true
    if (request === null) {
      log.warn('a count of no request of this gateway is dropped', fields)
      return true
    }
    await enterLateUsage(db, {
      ...request,
      ...usage,
      status: unknownStatus,
      outcome: 'failed',
      tokensSource: 'reported',
      ttftMs: null,
      durationMs: Math.max(0, now() - request.startedAt),
    })
    log.info('usage of a request that outlived its gateway', fields)
    return true
  } catch (error) {
    log.error('late usage not stored', { ...fields, ...errorFields(error) })
    return false
  }
}
