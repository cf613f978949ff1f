/** Administration on the database itself, and on what runs in this process, if anything does. */
import { ApiError, InvalidRequest } from '../../shared/errors.ts'
import { deriveBackendKey } from '../../shared/auth/backend-key.ts'
import { Credential } from '../auth/credential.ts'
import type { Pepper } from '../auth/pepper.ts'
import * as apiKeys from '../db/api-keys.ts'
import * as backends from '../db/backends.ts'
import type { Database } from '../db/database.ts'
import { DatabaseGrantAdmin, type GrantAdmin } from '../services/grant-admin.ts'
import { newId } from '../ids.ts'
import { limits } from '../../shared/tunnel/limits.ts'
import type { ConnectedBackend } from '../tunnel/backend-connection.ts'
import type { Admin, ApiKeyInfo, BackendInfo, CreatedApiKey, EnrolledBackend } from './admin.ts'
import { backendHealth } from './backend-health.ts'

/** What a running gateway does at once when the database changes. */
export type RunningGateway = {
  /** Ends the running requests of the key. */
  keyRevoked(keyId: string): void
  /** Cuts the backend's connections. */
  backendLoginRevoked(backendId: string): void
  /** Ends the grant's running visits. */
  grantRevoked(id: string): void
  connected(): readonly (ConnectedBackend & { readonly isDraining: boolean })[]
}

export type DatabaseAdminOptions = {
  readonly db: Database
  readonly pepper: Pepper
  /** ms since the epoch. */
  readonly now: () => number
  /** Null when no gateway runs in this process. */
  readonly gateway: RunningGateway | null
  /** Where visitors find a service; null: nowhere. */
  readonly linkOf: (service: string, secret: Credential) => string | null
  readonly onClose: () => void
}

const healthTimeoutMs = 1500

export class DatabaseAdmin implements Admin {
  readonly grants: GrantAdmin
  readonly #options: DatabaseAdminOptions

  constructor(options: DatabaseAdminOptions) {
    this.#options = options
    this.grants = new DatabaseGrantAdmin({
      ...options,
      grantRevoked: (id) => options.gateway?.grantRevoked(id),
    })
  }

  async createKey(name: string): Promise<CreatedApiKey> {
    const { row, secret } = this.#newKey(name)
    await apiKeys.insertApiKey(this.#options.db, row)
    return { key: keyInfo(row), secret }
  }

  /** Creates a key named `default` if there is none and never was, else null. */
  async ensureFirstKey(): Promise<Credential | null> {
    const { row, secret } = this.#newKey('default')
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

  async enrollBackend(
    name: string,
    scope: readonly string[] | null = null,
  ): Promise<EnrolledBackend> {
    const { row, secret } = await this.#newBackend(name, scope)
    const stored = await backends.enrollBackend(this.#options.db, row)
    if (!stored) {
      throw new ApiError(409, `there is a backend named ${name} already: revoke it first`)
    }
    this.#options.gateway?.backendLoginRevoked(stored.id)
    return { backend: disconnected(stored), token: secret }
  }

  /** Gives the backend of this name a new secret, enrolling it if need be. The old one is void. */
  async renewEnrolment(name: string): Promise<EnrolledBackend> {
    const { row, secret } = await this.#newBackend(name, null)
    const stored = await backends.enrollBackendAnew(this.#options.db, row)
    this.#options.gateway?.backendLoginRevoked(stored.id)
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
        const { models, isDraining: draining } = connection
        return { ...disconnected(row), connected: true, draining, models, health }
      }),
    )
  }

  async revokeBackend(id: string): Promise<BackendInfo> {
    const { db, now, gateway } = this.#options
    const row = await backends.revokeBackend(db, id, now())
    if (!row) throw new ApiError(404, `there is no backend ${id}: \`backends list\` shows them`)
    gateway?.backendLoginRevoked(row.id)
    return disconnected(row)
  }

  close(): void {
    this.#options.onClose()
  }

  #newKey(name: string): { row: apiKeys.ApiKeyRow; secret: Credential } {
    const { pepper, now } = this.#options
    const secret = Credential.generate('apiKey')
    const row = {
      id: newId('key'),
      name: parseName(name),
      digest: secret.digest(pepper),
      pepperVersion: pepper.version,
      hint: secret.hint,
      createdAt: now(),
      revokedAt: null,
    }
    return { row, secret }
  }

  /** Of the secret only its public key is kept. */
  async #newBackend(
    name: string,
    scope: readonly string[] | null,
  ): Promise<{ row: backends.BackendRow; secret: Credential }> {
    const secret = Credential.generate('enrolmentSecret')
    const { publicKey } = await deriveBackendKey(secret.reveal())
    const row = {
      id: newId('be'),
      name: parseName(name),
      hint: secret.hint,
      createdAt: this.#options.now(),
      revokedAt: null,
      publicKey,
      models: scope && parseScope(scope),
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

const parseScope = (models: readonly string[]): string[] => {
  const names = [...new Set(models)]
  const areNames = names.every((name) => /^[\x21-\x7e]{1,256}$/.test(name))
  if (areNames && names.length > 0 && names.length <= limits.models) return names
  throw new InvalidRequest(
    `--model takes a served model name of visible ASCII characters, up to ${limits.models} times`,
    'models',
  )
}

const keyInfo = ({ id, name, hint, createdAt, revokedAt }: ApiKeyInfo): ApiKeyInfo => ({
  id,
  name,
  hint,
  createdAt,
  revokedAt,
})

const disconnected = (row: backends.BackendRow): BackendInfo => ({
  ...keyInfo(row),
  login: row.publicKey !== null ? 'secret' : row.hint === '' ? 'tunnel key' : 'none',
  scope: row.models,
  connected: false,
  draining: false,
  models: [],
  health: null,
})
