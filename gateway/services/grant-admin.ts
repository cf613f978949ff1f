/** Administration of who may visit exposed services. */
import { ApiError, InvalidRequest } from '../../shared/errors.ts'
import { isServiceName } from '../../shared/tunnel/hello.ts'
import { Credential } from '../auth/credential.ts'
import type { Pepper } from '../auth/pepper.ts'
import type { Database } from '../db/database.ts'
import { insertGrant, listGrants, revokeGrant, type ServiceGrantRow } from '../db/service-grants.ts'
import { newId } from '../ids.ts'

export type ServiceGrantInfo = Pick<
  ServiceGrantRow,
  'id' | 'service' | 'name' | 'hint' | 'createdAt' | 'expiresAt' | 'revokedAt'
>

/** The secret is told here and never again. */
export type CreatedGrant = {
  readonly grant: ServiceGrantInfo
  readonly secret: Credential
  /** What a browser opens to be let in; null when the gateway has no place for the service. */
  readonly link: string | null
}

export type GrantWish = {
  readonly service: string
  readonly name: string
  /** How long it holds. */
  readonly lifetimeMs: number
}

/** Each call fails with an `ApiError` whose message says what is wrong with the request. */
export interface GrantAdmin {
  createGrant(wish: GrantWish): Promise<CreatedGrant>
  listGrants(): Promise<readonly ServiceGrantInfo[]>
  /** Ends its running visits as well. Fails on an unknown id. */
  revokeGrant(id: string): Promise<ServiceGrantInfo>
}

export type DatabaseGrantAdminOptions = {
  readonly db: Database
  readonly pepper: Pepper
  /** ms since the epoch. */
  readonly now: () => number
  /** Null where no gateway runs in this process, or it has no place for the service. */
  readonly linkOf: (service: string, secret: Credential) => string | null
  /** Ends the grant's running visits. */
  readonly grantRevoked: (id: string) => void
}

export const maxGrantMs = 365 * 24 * 3600 * 1000

export class DatabaseGrantAdmin implements GrantAdmin {
  readonly #options: DatabaseGrantAdminOptions

  constructor(options: DatabaseGrantAdminOptions) {
    this.#options = options
  }

  async createGrant({ service, name, lifetimeMs }: GrantWish): Promise<CreatedGrant> {
    const { db, pepper, now, linkOf } = this.#options
    if (!isServiceName(service)) {
      throw new InvalidRequest('a service name has 1 to 63 of a-z, 0-9 and inner -', 'service')
    }
    if (!(lifetimeMs > 0 && lifetimeMs <= maxGrantMs)) {
      throw new InvalidRequest('a grant holds for a year at most', 'lifetimeMs')
    }
    const secret = Credential.generate('serviceGrant')
    const createdAt = now()
    const row: ServiceGrantRow = {
      id: newId('grant'),
      service,
      name: name.slice(0, 64),
      digest: secret.digest(pepper),
      pepperVersion: pepper.version,
      hint: secret.hint,
      createdAt,
      expiresAt: createdAt + lifetimeMs,
      revokedAt: null,
    }
    await insertGrant(db, row)
    return { grant: grantInfo(row), secret, link: linkOf(service, secret) }
  }

  async listGrants(): Promise<readonly ServiceGrantInfo[]> {
    return (await listGrants(this.#options.db)).map(grantInfo)
  }

  async revokeGrant(id: string): Promise<ServiceGrantInfo> {
    const { db, now, grantRevoked } = this.#options
    const row = await revokeGrant(db, id, now())
    if (!row) throw new ApiError(404, `there is no grant ${id}: \`services list\` shows them`)
    grantRevoked(row.id)
    return grantInfo(row)
  }
}

const grantInfo = (row: ServiceGrantRow): ServiceGrantInfo => {
  const { id, service, name, hint, createdAt, expiresAt, revokedAt } = row
  return { id, service, name, hint, createdAt, expiresAt, revokedAt }
}
