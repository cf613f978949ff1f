/** Queries about enrolled backends. */
import { and, asc, eq, isNull, sql } from 'drizzle-orm'
import type { Database } from './database.ts'
import { backends } from './schema.ts'

export type BackendRow = typeof backends.$inferSelect

const inUse = isNull(backends.revokedAt)

/** The backend whose token has this digest, unless it was revoked. */
export const findActiveBackend = async (
  db: Database,
  digest: string,
): Promise<{ id: string; name: string } | null> => {
  const [row] = await db
    .select({ id: backends.id, name: backends.name })
    .from(backends)
    .where(and(eq(backends.digest, digest), inUse))
  return row ?? null
}

/** Inserts the backend unless one in use has its name. Tells whether it did. */
export const insertBackend = async (db: Database, row: BackendRow): Promise<boolean> => {
  const inserted = await db
    .insert(backends)
    .values(row)
    .onConflictDoNothing()
    .returning({ id: backends.id })
  return inserted.length > 0
}

/** Inserts the backend, or gives the one in use of that name the row's token. Returns its row. */
export const insertBackendOrReplaceToken = async (
  db: Database,
  row: BackendRow,
): Promise<BackendRow> => {
  const { digest, pepperVersion, hint } = row
  const [stored] = await db
    .insert(backends)
    .values(row)
    .onConflictDoUpdate({
      target: backends.name,
      targetWhere: sql`revoked_at is null`,
      set: { digest, pepperVersion, hint },
    })
    .returning()
  if (!stored) throw new Error(`backend ${row.name} was neither inserted nor updated`)
  return stored
}

/** All backends, the revoked ones too, oldest first. */
export const listBackends = (db: Database): Promise<BackendRow[]> =>
  db.select().from(backends).orderBy(asc(backends.createdAt), asc(backends.id))

/** Revokes the backend; a revoked one keeps its first time. Null if there is no such backend. */
export const revokeBackend = async (
  db: Database,
  id: string,
  at: number,
): Promise<BackendRow | null> => {
  const [row] = await db
    .update(backends)
    .set({ revokedAt: sql`coalesce(${backends.revokedAt}, ${at})` })
    .where(eq(backends.id, id))
    .returning()
  return row ?? null
}

/** How many backends in use have a token digested under another pepper. */
export const countForeignBackends = (db: Database, pepperVersion: string): Promise<number> =>
  db.$count(
    backends,
    sql`${backends.revokedAt} is null and ${backends.pepperVersion} <> ${pepperVersion}`,
  )
