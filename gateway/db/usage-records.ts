/** Queries about usage: one record per forwarded request. */
import type { Database } from './database.ts'
import { usageRecords } from './schema.ts'

export type UsageRecord = typeof usageRecords.$inferSelect

/** Stores the record; a second one of the same request changes nothing. */
export const insertUsageRecord = async (db: Database, record: UsageRecord): Promise<void> => {
  await db.insert(usageRecords).values(record).onConflictDoNothing()
}
