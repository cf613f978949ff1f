/** Administration of a gateway: the same whether one is running or not. */
import type { Credential } from '../auth/credential.ts'
import type { GrantAdmin } from '../services/grant-admin.ts'

export type ApiKeyInfo = {
  readonly id: string
  readonly name: string
  /** The secret's last four characters. */
  readonly hint: string
  /** ms since the epoch. */
  readonly createdAt: number
  readonly revokedAt: number | null
}

export type BackendInfo = ApiKeyInfo & {
  /**
   * How it may connect: with its enrolment secret (whose end `hint` shows), or with the tunnel key;
   * `none`: with neither, since an older Burrow enrolled it.
   */
  readonly login: 'secret' | 'tunnel key' | 'none'
  /** Served model names that it may register; null: any. */
  readonly scope: readonly string[] | null
  readonly connected: boolean
  /** It is connected and gets no new requests. */
  readonly draining: boolean
  /** Served model names, while it is connected. */
  readonly models: readonly string[]
  /** What the backend's own `/health` says; null when it is not connected or did not say. */
  readonly health: unknown
}

/** The secret is told here and never again. */
export type CreatedApiKey = { readonly key: ApiKeyInfo; readonly secret: Credential }
export type EnrolledBackend = { readonly backend: BackendInfo; readonly token: Credential }

/** Each call fails with an `ApiError` whose message says what is wrong with the request. */
export interface Admin {
  createKey(name: string): Promise<CreatedApiKey>
  listKeys(): Promise<readonly ApiKeyInfo[]>
  /** Ends the key's running requests as well. Fails on an unknown id. */
  revokeKey(id: string): Promise<ApiKeyInfo>
  /**
   * Fails if a backend in use has the name and a secret. One that came with the tunnel key gets a
   * secret, and needs it from then on.
   * @param scope served model names that it may register; default and null: any
   */
  enrollBackend(name: string, scope?: readonly string[] | null): Promise<EnrolledBackend>
  listBackends(): Promise<readonly BackendInfo[]>
  /** Cuts the backend's connection as well. Fails on an unknown id. */
  revokeBackend(id: string): Promise<BackendInfo>
  /** Who may visit exposed services. */
  readonly grants: GrantAdmin
  /** Idempotent. */
  close(): void
}
