/** Administration on the database itself, and on what runs in this process, if anything does. */
import { ApiError, InvalidRequest } from '../../shared/errors.ts'
import { Credential, type CredentialKind } from '../auth/credential.ts'
import type { Pepper } from '../auth/pepper.ts'
import * as apiKeys from '../db/api-keys.ts'
import * as backends from '../db/backends.ts'
import type { Database } from '../db/database.ts'
import { newId, type IdPrefix } from '../ids.ts'
import type { ConnectedBackend } from '../tunnel/backend-connection.ts'
import type { Admin, ApiKeyInfo, BackendInfo, CreatedApiKey, EnrolledBackend } from './admin.ts'
import { backendHealth } from './backend-health.ts'

/** What a running gateway does at once when the database changes. */
export type RunningGateway = {
  /** Ends the running requests of the key. */
  keyRevoked(keyId: string): void
  /** Cuts the connections that were made with the backend's token so far. */
  backendTokenRevoked(backendId: string): void
  connected(): readonly ConnectedBackend[]
}

export type DatabaseAdminOptions = {
  readonly db: Database
  readonly pepper: Pepper
  /** ms since the epoch. */
  readonly now: () => number
  /** Null when no gateway runs in this process. */
  readonly gateway: RunningGateway | null
  readonly onClose: () => void
}

const healthTimeoutMs = 1500

export class DatabaseAdmin implements Admin {
  readonly #options: DatabaseAdminOptions

  constructor(options: DatabaseAdminOptions) {
    this.#options = options
  }

  async createKey(name: string): Promise<CreatedApiKey> {
    const { row, secret } = this.#newRow('key', 'apiKey', name)
    await apiKeys.insertApiKey(this.#options.db, row)
    return { key: keyInfo(row), secret }
  }

  /** Creates a key named `default` if there is none and never was, else null. */
  async ensureFirstKey(): Promise<Credential | null> {
    const { row, secret } = this.#newRow('key', 'apiKey', 'default')
    return (await apiKeys.insertFirstApiKey(this.#options.db, row)) ? secret : null
  }

  async listKeys(): Promise<readonly ApiKeyInfo[]> {
    return (await apiKeys.listApiKeys(this.#options.db)).map(keyInfo)
  }

  async revokeKey(id: string): Promise<ApiKeyInfo> {
    const { db, now, gateway } = this.#options
    const row = await apiKeys.revokeApiKey(db, id, now())
    if (!row) throw new ApiError(404, `there is no API key ${id}: \`keys list\` shows them`)
    gateway?.keyRevoked(row.id)
    return keyInfo(row)
  }

  async enrollBackend(name: string): Promise<EnrolledBackend> {
    const { row, secret } = this.#newRow('be', 'backendToken', name)
    if (!(await backends.insertBackend(this.#options.db, row))) {
      throw new ApiError(409, `there is a backend named ${name} already: revoke it first`)
    }
    return { backend: disconnected(row), token: secret }
  }

  /** Gives the backend of this name a new token, enrolling it if need be. The old one is void. */
  async rotateBackendToken(name: string): Promise<EnrolledBackend> {
    const { row, secret } = this.#newRow('be', 'backendToken', name)
    const stored = await backends.insertBackendOrReplaceToken(this.#options.db, row)
    this.#options.gateway?.backendTokenRevoked(stored.id)
    return { backend: disconnected(stored), token: secret }
  }

  async listBackends(): Promise<readonly BackendInfo[]> {
    const rows = await backends.listBackends(this.#options.db)
    const connected = this.#options.gateway?.connected() ?? []
    return Promise.all(
      rows.map(async (row) => {
        const connection = connected.find(({ backendId }) => backendId === row.id)
        if (!connection) return disconnected(row)
        const health = await backendHealth(connection, healthTimeoutMs)
        return { ...keyInfo(row), connected: true, models: connection.models, health }
      }),
    )
  }

  async revokeBackend(id: string): Promise<BackendInfo> {
    const { db, now, gateway } = this.#options
    const row = await backends.revokeBackend(db, id, now())
    if (!row) throw new ApiError(404, `there is no backend ${id}: \`backends list\` shows them`)
    gateway?.backendTokenRevoked(row.id)
    return disconnected(row)
  }

  close(): void {
    this.#options.onClose()
  }

  #newRow(prefix: IdPrefix, kind: CredentialKind, name: string) {
    const { pepper, now } = this.#options
    const secret = Credential.generate(kind)
    const row = {
      id: newId(prefix),
      name: parseName(name),
      digest: secret.digest(pepper),
      pepperVersion: pepper.version,
      hint: secret.hint,
      createdAt: now(),
      revokedAt: null,
    }
    return { row, secret }
  }
}

const parseName = (name: string): string => {
  if (/^(?! )[\p{L}\p{M}\p{N}\p{P}\p{S} ]{1,64}(?<! )$/u.test(name)) return name
  throw new InvalidRequest(
    'a name has 1 to 64 printable characters and no spaces at its ends',
    'name',
  )
}

const keyInfo = ({ id, name, hint, createdAt, revokedAt }: ApiKeyInfo): ApiKeyInfo => ({
  id,
  name,
  hint,
  createdAt,
  revokedAt,
})

const disconnected = (row: ApiKeyInfo): BackendInfo => ({
  ...keyInfo(row),
  connected: false,
  models: [],
  health: null,
})
