/** Queries about backends: those that were enrolled, and those that came with the tunnel key. */
import { and, asc, eq, isNull, sql, type SQL } from 'drizzle-orm'
import type { Database } from './database.ts'
import { backends } from './schema.ts'

export type BackendRow = typeof backends.$inferSelect

const inUse = isNull(backends.revokedAt)

/** The backend in use that has this public key. */
export const findBackendByKey = async (
  db: Database,
  publicKey: string,
): Promise<{ id: string; name: string; models: readonly string[] | null } | null> => {
  const [row] = await db
    .select({ id: backends.id, name: backends.name, models: backends.models })
    .from(backends)
    .where(and(eq(backends.publicKey, publicKey), inUse))
  return row ?? null
}

/** Whether the backend is not revoked. With `publicKey`: and still has that one, or still none. */
export const isBackendInUse = async (
  db: Database,
  id: string,
  publicKey: string | null,
): Promise<boolean> => {
  const hasKey = publicKey === null ? isNull(backends.publicKey) : eq(backends.publicKey, publicKey)
  return (await db.$count(backends, and(eq(backends.id, id), inUse, hasKey))) > 0
}

/** The backend that has the name: the one in use, else one that was revoked. */
export const findBackendByName = async (db: Database, name: string): Promise<BackendRow | null> => {
  const [row] = await db
    .select()
    .from(backends)
    .where(eq(backends.name, name))
    .orderBy(sql`${backends.revokedAt} is not null`)
    .limit(1)
  return row ?? null
}

/** Inserts the backend unless one in use has its name. */
export const insertBackend = async (db: Database, row: BackendRow): Promise<void> => {
  await db.insert(backends).values(row).onConflictDoNothing()
}

/**
 * Inserts the backend, or gives its key to the one in use of that name which has none. Returns its
 * row; null if the name is taken by one that has a key.
 */
export const enrollBackend = async (db: Database, row: BackendRow): Promise<BackendRow | null> => {
  const [stored] = await upsert(db, row, isNull(backends.publicKey))
  return stored ?? null
}

/** Inserts the backend, or gives its key to the one in use of that name. Returns its row. */
export const enrollBackendAnew = async (db: Database, row: BackendRow): Promise<BackendRow> => {
  const [stored] = await upsert(db, row)
  if (!stored) throw new Error(`backend ${row.name} was neither inserted nor updated`)
  return stored
}

const upsert = (db: Database, row: BackendRow, setWhere?: SQL) => {
  const { hint, publicKey, models } = row
  return db
    .insert(backends)
    .values(row)
    .onConflictDoUpdate({
      target: backends.name,
      targetWhere: sql`revoked_at is null`,
      set: { hint, publicKey, models },
      ...(setWhere && { setWhere }),
    })
    .returning()
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

/** Backends in use that have no key of their own. */
export const countKeylessBackends = (db: Database): Promise<number> =>
  db.$count(backends, and(isNull(backends.publicKey), inUse))
