/** Administration of a gateway that runs elsewhere, through its control API. */
import { ApiError } from '../../shared/errors.ts'
import { Credential, type CredentialKind } from '../auth/credential.ts'
import { RemoteGrants } from './remote-grants.ts'
import type { Admin, ApiKeyInfo, BackendInfo, CreatedApiKey, EnrolledBackend } from './admin.ts'

/** Longer than the gateway waits for its backends' health. */
export const adminTimeoutMs = 10_000

export type AdminAnswer = { readonly status: number; readonly value: unknown }

/**
 * Sends one request to a gateway's control API: `path` begins with a slash, `body` is to be JSON.
 * Rejects, with what to do, when there is no answer or one that is not the API's.
 */
export type AdminCall = (method: string, path: string, body?: unknown) => Promise<AdminAnswer>

export class RemoteAdmin implements Admin {
  readonly grants = new RemoteGrants((method, path, body) => this.#call(method, path, body))
  readonly #send: AdminCall

  constructor(send: AdminCall) {
    this.#send = send
  }

  async createKey(name: string): Promise<CreatedApiKey> {
    const answer = fields(await this.#call('POST', '/keys', { name }))
    return {
      key: parseKey(answer['key']),
      secret: parseCredential('apiKey', answer['secret']),
    }
  }

  async listKeys(): Promise<readonly ApiKeyInfo[]> {
    return parseList(await this.#call('GET', '/keys'), parseKey)
  }

  async revokeKey(id: string): Promise<ApiKeyInfo> {
    return parseKey(await this.#call('DELETE', `/keys/${encodeURIComponent(id)}`))
  }

  async enrollBackend(
    name: string,
    scope: readonly string[] | null = null,
  ): Promise<EnrolledBackend> {
    const answer = fields(await this.#call('POST', '/backends', { name, models: scope }))
    return {
      backend: parseBackend(answer['backend']),
      token: parseCredential('enrolmentSecret', answer['token']),
    }
  }

  async listBackends(): Promise<readonly BackendInfo[]> {
    return parseList(await this.#call('GET', '/backends'), parseBackend)
  }

  async revokeBackend(id: string): Promise<BackendInfo> {
    return parseBackend(await this.#call('DELETE', `/backends/${encodeURIComponent(id)}`))
  }

  close(): void {}

  /** One request. Fails with the gateway's own message. */
  async #call(method: string, path: string, body?: unknown): Promise<unknown> {
    const { status, value } = await this.#send(method, path, body)
    if (status < 300) return value
    const message = fields(fields(value)['error'])['message']
    throw new ApiError(status, String(message))
  }
}

type Fields = Readonly<Record<string, unknown>>

const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null

const fields = (value: unknown): Fields => {
  if (isFields(value)) return value
  throw new Error('the running gateway gave an answer of another version: restart it')
}

const parseList = <T>(value: unknown, parse: (item: unknown) => T): T[] =>
  Object.values(fields(value)).map(parse)

const parseKey = (value: unknown): ApiKeyInfo => {
  const { id, name, hint, createdAt, revokedAt } = fields(value)
  return {
    id: String(id),
    name: String(name),
    hint: String(hint),
    createdAt: Number(createdAt),
    revokedAt: revokedAt === null ? null : Number(revokedAt),
  }
}

const parseBackend = (value: unknown): BackendInfo => {
  const { login, scope, connected, draining, models, health } = fields(value)
  return {
    ...parseKey(value),
    login: login === 'secret' || login === 'tunnel key' ? login : 'none',
    scope: scope === null ? null : parseList(scope, String),
    connected: connected === true,
    draining: draining === true,
    models: parseList(models, String),
    health,
  }
}

const parseCredential = (kind: CredentialKind, value: unknown): Credential => {
  const credential = Credential.parse(kind, String(value))
  if (!credential) throw new Error('the running gateway gave no valid credential: restart it')
  return credential
}
