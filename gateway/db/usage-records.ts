/** Queries about usage: one record per forwarded request, whose count is corrected at most once. */
import { and, eq, sql } from 'drizzle-orm'
import type { Database } from './database.ts'
import { preparedOnce } from './prepared.ts'
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
  await insertion(db).run(record)
}

const insertion = preparedOnce((db) =>
  db
    .insert(usageRecords)
    .values({
      requestId: sql.placeholder('requestId'),
      keyId: sql.placeholder('keyId'),
      backendId: sql.placeholder('backendId'),
      model: sql.placeholder('model'),
      route: sql.placeholder('route'),
      stream: sql.placeholder('stream'),
      status: sql.placeholder('status'),
      outcome: sql.placeholder('outcome'),
      promptTokens: sql.placeholder('promptTokens'),
      completionTokens: sql.placeholder('completionTokens'),
      tokensSource: sql.placeholder('tokensSource'),
      startedAt: sql.placeholder('startedAt'),
      ttftMs: sql.placeholder('ttftMs'),
      durationMs: sql.placeholder('durationMs'),
    } satisfies Record<keyof UsageRecord, unknown>)
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
    .prepare(),
)

/**
 * A request that nobody else has entered. Where somebody has meanwhile, only its count is corrected,
 * unless that is final.
 */
export const enterLateUsage = async (db: Database, record: UsageRecord): Promise<void> => {
  await db
    .insert(usageRecords)
    .values(record)
    .onConflictDoUpdate({
      target: usageRecords.requestId,
      set: {
        promptTokens: unlessFinal('prompt_tokens'),
        completionTokens: unlessFinal('completion_tokens'),
        tokensSource: unlessFinal('tokens_source'),
      },
    })
}

/**
 * Puts the final count in place of a last reported or a lost one.
 * @returns whether the books have a final count of the request, of this backend, now
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
  const id = { id: usageRecords.requestId }
  const corrected = await db
    .update(usageRecords)
    .set({ ...usage, tokensSource: 'reported' })
    .where(and(own, sql`not ${isFinal}`))
    .returning(id)
  if (corrected.length > 0) return true
  // A record that came in between is not final, and not ours to pass for one.
  const final = await db.select(id).from(usageRecords).where(and(own, isFinal))
  return final.length > 0
}
