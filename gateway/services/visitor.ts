/** Who visits: the grant that a cookie or an `Authorization` field shows. */
import type { IncomingHttpHeaders } from 'node:http'
import { Credential } from '../auth/credential.ts'
import type { Pepper } from '../auth/pepper.ts'
import type { Database } from '../db/database.ts'
import { findActiveGrant, type ServiceGrantRow } from '../db/service-grants.ts'
import { cookieValues, visitCookieName } from './service-cookies.ts'

export type Visitor = {
  readonly grant: ServiceGrantRow
  /** A browser shows a cookie by itself, whoever's page asked for it. */
  readonly byCookie: boolean
}

export type VisitorOptions = {
  readonly db: Database
  readonly pepper: Pepper
  /** ms since the epoch. */
  readonly now: () => number
}

/** The grant in force of this secret; null when there is none for the service. */
export const findGrant = async (
  { db, pepper, now }: VisitorOptions,
  service: string,
  text: string,
): Promise<ServiceGrantRow | null> => {
  const secret = Credential.parse('serviceGrant', text)
  return secret && findActiveGrant(db, service, secret.digest(pepper), now())
}

/** The database is asked each time, so that a revoked grant is out at once. */
export const findVisitor = async (
  options: VisitorOptions,
  service: string,
  { authorization = '', cookie = '' }: IncomingHttpHeaders,
  isSecure: boolean,
): Promise<Visitor | null> => {
  const bearer = /^Bearer +(\S+) *$/i.exec(authorization)?.[1]
  const byBearer = bearer === undefined ? null : await findGrant(options, service, bearer)
  if (byBearer) return { grant: byBearer, byCookie: false }
  // An old cookie may lie beside the new one, from another path or host.
  for (const value of cookieValues(cookie, visitCookieName(service, isSecure)).slice(0, 4)) {
    const grant = await findGrant(options, service, value)
    if (grant) return { grant, byCookie: true }
  }
  return null
}
