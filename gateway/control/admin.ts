/** Administration of a gateway: the same whether one is running or not. */
import type { Credential } from '../auth/credential.ts'

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
  readonly connected: boolean
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
  /** Fails if a backend in use has the name. */
  enrollBackend(name: string): Promise<EnrolledBackend>
  listBackends(): Promise<readonly BackendInfo[]>
  /** Cuts the backend's connection as well. Fails on an unknown id. */
  revokeBackend(id: string): Promise<BackendInfo>
  /** Idempotent. */
  close(): void
}
