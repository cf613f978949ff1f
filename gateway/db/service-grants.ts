/** Queries about grants: who may visit an exposed service. */
import { and, asc, eq, gt, isNull, sql } from 'drizzle-orm'
import type { Database } from './database.ts'
import { serviceGrants } from './schema.ts'

export type ServiceGrantRow = typeof serviceGrants.$inferSelect

/** The service's grant whose secret has this digest, unless it was revoked or has run out. */
export const findActiveGrant = async (
  db: Database,
  service: string,
  digest: string,
  now: number,
): Promise<ServiceGrantRow | null> => {
  const [row] = await db
    .select()
    .from(serviceGrants)
    .where(
      and(
        eq(serviceGrants.digest, digest),
        eq(serviceGrants.service, service),
        isNull(serviceGrants.revokedAt),
        gt(serviceGrants.expiresAt, now),
      ),
    )
  return row ?? null
}

export const insertGrant = async (db: Database, row: ServiceGrantRow): Promise<void> => {
  await db.insert(serviceGrants).values(row)
}

/** All of them, also those that are over, oldest first. */
export const listGrants = (db: Database): Promise<ServiceGrantRow[]> =>
  db.select().from(serviceGrants).orderBy(asc(serviceGrants.createdAt), asc(serviceGrants.id))

/** Revokes the grant; a revoked one keeps its first time. Null if there is no such grant. */
export const revokeGrant = async (
  db: Database,
  id: string,
  at: number,
): Promise<ServiceGrantRow | null> => {
  const [row] = await db
    .update(serviceGrants)
    .set({ revokedAt: sql`coalesce(${serviceGrants.revokedAt}, ${at})` })
    .where(eq(serviceGrants.id, id))
    .returning()
  return row ?? null
}
