/** Queries about usage: one record per forwarded request, whose count is corrected at most once. */
import { and, eq, sql } from 'drizzle-orm'
import type { Database } from './database.ts'
import { usageRecords } from './schema.ts'

export type UsageRecord = typeof usageRecords.$inferSelect

/** The engine's own count: nothing is truer. */
const isFinal = sql`${usageRecords.tokensSource} = 'reported'`

/** The value that the insert brings, unless the row has the final count. */
const unlessFinal = (column: string) =>
  sql`iif(${isFinal}, ${usageRecords}.${sql.identifier(column)}, excluded.${sql.identifier(column)})`

const brought = (column: string) => sql`excluded.${sql.identifier(column)}`

/**
 * Stores the record of a request that has settled. Where the books have it already, because its final
 * count came by another way, that count stays.
 */
export const insertUsageRecord = async (db: Database, record: UsageRecord): Promise<void> => {
  await db
    .insert(usageRecords)
    .values(record)
    .onConflictDoUpdate({
      target: usageRecords.requestId,
      set: {
        status: brought('status'),
        outcome: brought('outcome'),
        ttftMs: brought('ttft_ms'),
        durationMs: brought('duration_ms'),
        promptTokens: unlessFinal('prompt_tokens'),
        completionTokens: unlessFinal('completion_tokens'),
        tokensSource: unlessFinal('tokens_source'),
      },
    })
}

/** A request that nobody else has entered; one that is there stays as it is. */
export const enterLateUsage = async (db: Database, record: UsageRecord): Promise<void> => {
  await db.insert(usageRecords).values(record).onConflictDoNothing()
}

/**
 * Puts the final count in place of a last reported or a lost one.
 * @returns whether the books have the request, of this backend
 */
export const correctUsage = async (
  db: Database,
  {
    requestId,
    backendId,
    ...usage
  }: Pick<UsageRecord, 'requestId' | 'backendId' | 'promptTokens' | 'completionTokens'>,
): Promise<boolean> => {
  const ofBackend = backendId === null ? sql`false` : sql`${usageRecords.backendId} = ${backendId}`
  const own = and(eq(usageRecords.requestId, requestId), ofBackend)
  await db
    .update(usageRecords)
    .set({ ...usage, tokensSource: 'reported' })
    .where(and(own, sql`not ${isFinal}`))
  const found = await db.select({ id: usageRecords.requestId }).from(usageRecords).where(own)
  return found.length > 0
}
