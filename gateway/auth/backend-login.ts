/** Who may connect as a backend: by a token of its own, or by the tunnel key. No Node, no sockets. */
import type { TunnelKey } from '../../shared/auth/tunnel-key.ts'
import type { ProofInput } from '../../shared/tunnel/challenge.ts'
import {
  countKeylessBackends,
  findBackendByKey,
  findBackendByName,
  insertBackend,
  isBackendInUse,
} from '../db/backends.ts'
import type { Database } from '../db/database.ts'
import { newId } from '../ids.ts'
import { checkBackendToken } from './backend-token.ts'
import { LoginRefused } from './login-refused.ts'

/** What a backend may do that was let in. */
export type Grant = {
  readonly backendId: string
  readonly name: string
  /** Served model names that it may register; null: any. */
  readonly models: readonly string[] | null
  /** The key of its enrolment; null: it came with the tunnel key. */
  readonly publicKey: string | null
  /** ms since the epoch; null: as long as it likes. */
  readonly expiresAtMs: number | null
}

export type BackendLoginOptions = {
  readonly db: Database
  readonly tunnelKeys: readonly TunnelKey[]
  /** ms since the epoch. */
  readonly now: () => number
  /** By how much a backend's clock may differ. Default 30 s. */
  readonly skewMs?: number
}

/** Whoever has the key could make up names without end. */
const maxTunnelKeyBackends = 1_000

const tooMany =
  `${maxTunnelKeyBackends} backends have come with the tunnel key already: ` +
  'revoke those that are gone, or enrol this one.'

export class BackendLogin {
  readonly #options: BackendLoginOptions

  constructor(options: BackendLoginOptions) {
    this.#options = options
  }

  /** @throws LoginRefused */
  withToken(token: string): Promise<Grant> {
    const { db, now, skewMs } = this.#options
    return checkBackendToken(token, {
      findKey: (publicKey) => findBackendByKey(db, publicKey),
      now,
      ...(skewMs !== undefined && { skewMs }),
    })
  }

  get hasTunnelKey(): boolean {
    return this.#options.tunnelKeys.length > 0
  }

  /** Whether the proof was made with one of the tunnel keys. */
  async isProof(proof: string, input: ProofInput): Promise<boolean> {
    // All are tried each time: how long it takes does not tell which one held.
    const held = await Promise.all(this.#options.tunnelKeys.map((key) => key.isProof(proof, input)))
    return held.includes(true)
  }

  /**
   * For a backend that has proved the tunnel key: it gets a row when it first comes. The key alone
   * makes nobody who was enrolled, and brings nobody back who was revoked.
   * @throws LoginRefused
   */
  async withTunnelKey(name: string): Promise<Grant> {
    const { db, now } = this.#options
    const known = await findBackendByName(db, name)
    if (!known) {
      if ((await countKeylessBackends(db)) >= maxTunnelKeyBackends) throw new LoginRefused(tooMany)
      const empty = { hint: '', revokedAt: null, publicKey: null, models: null }
      await insertBackend(db, { id: newId('be'), name, createdAt: now(), ...empty })
    }
    // Another connection of the same name may have been first.
    const backend = known ?? (await findBackendByName(db, name))
    if (!backend || backend.revokedAt !== null) {
      throw new LoginRefused(`The backend ${name} was revoked.`)
    }
    if (backend.publicKey !== null) {
      throw new LoginRefused(`The backend ${name} is enrolled: it needs its own secret.`)
    }
    const { id, models } = backend
    return { backendId: id, name, models, publicKey: null, expiresAtMs: null }
  }

  /** Whether what the grant rests upon still holds: it was neither revoked nor given another key. */
  isInForce({ backendId, publicKey }: Grant): Promise<boolean> {
    return isBackendInUse(this.#options.db, backendId, publicKey)
  }
}
