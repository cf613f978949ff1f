/** Queries about API keys. */
import { and, asc, eq, isNull, sql } from 'drizzle-orm'
import type { Database } from './database.ts'
import { preparedOnce } from './prepared.ts'
import { apiKeys } from './schema.ts'

export type ApiKeyRow = typeof apiKeys.$inferSelect

const activeByDigest = preparedOnce((db) =>
  db
    .select({ id: apiKeys.id, name: apiKeys.name })
    .from(apiKeys)
    .where(and(eq(apiKeys.digest, sql.placeholder('digest')), isNull(apiKeys.revokedAt)))
    .prepare(),
)

/** The key whose secret has this digest, unless it was revoked. */
export const findActiveApiKey = async (
  db: Database,
  digest: string,
): Promise<{ id: string; name: string } | null> => {
  const [row] = await activeByDigest(db).all({ digest })
  return row ?? null
}

export const insertApiKey = async (db: Database, row: ApiKeyRow): Promise<void> => {
  await db.insert(apiKeys).values(row)
}

/** Inserts the key unless there is, or ever was, another. Tells whether it did. */
export const insertFirstApiKey = async (db: Database, row: ApiKeyRow): Promise<boolean> => {
  const first = sql`select ${row.id}, ${row.name}, ${row.digest}, ${row.pepperVersion}, ${row.hint},
    ${row.createdAt}, ${row.revokedAt} where not exists (select 1 from ${apiKeys})`
  const inserted = await db.insert(apiKeys).select(first).returning({ id: apiKeys.id })
  return inserted.length > 0
}

/** All keys, the revoked ones too, oldest first. */
export const listApiKeys = (db: Database): Promise<ApiKeyRow[]> =>
  db.select().from(apiKeys).orderBy(asc(apiKeys.createdAt), asc(apiKeys.id))

/** Revokes the key; a revoked one keeps its first time. Null if there is no such key. */
export const revokeApiKey = async (
  db: Database,
  id: string,
  at: number,
): Promise<ApiKeyRow | null> => {
  const [row] = await db
    .update(apiKeys)
    .set({ revokedAt: sql`coalesce(${apiKeys.revokedAt}, ${at})` })
    .where(eq(apiKeys.id, id))
    .returning()
  return row ?? null
}

/** How many keys in use were digested under another pepper, and so cannot be recognised. */
export const countForeignApiKeys = (db: Database, pepperVersion: string): Promise<number> =>
  db.$count(
    apiKeys,
    sql`${apiKeys.revokedAt} is null and ${apiKeys.pepperVersion} <> ${pepperVersion}`,
  )
