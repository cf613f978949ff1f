/** Signs this backend's tokens. They live for minutes: whoever steals one has it for so long only. */
import { SignJWT } from 'jose'
import { deriveBackendKey, type BackendKey } from '../../shared/auth/backend-key.ts'
import { tokenAlgorithm, tokenAudience, tokenLifetimeMs } from '../../shared/auth/backend-token.ts'

export type TokenMintOptions = {
  /** What `backends enroll` printed. Never sent, never logged. */
  readonly enrolmentSecret: string
  /** Narrows what a stolen token may be used for to these served models; not if they are many. */
  readonly models?: readonly string[]
  readonly lifetimeMs?: number
  /** ms since the epoch. */
  readonly now?: () => number
}

/** A token has 4096 characters at most, and these become a third more. */
const maxModelsChars = 2_048

export class TokenMint {
  readonly lifetimeMs: number
  readonly #models: readonly string[] | undefined
  readonly #now: () => number
  readonly #key: Promise<BackendKey>

  constructor({ enrolmentSecret, models, lifetimeMs, now }: TokenMintOptions) {
    this.lifetimeMs = lifetimeMs ?? tokenLifetimeMs
    this.#models = JSON.stringify(models ?? null).length > maxModelsChars ? undefined : models
    this.#now = now ?? Date.now
    this.#key = deriveBackendKey(enrolmentSecret)
    // Reported by each `mint`.
    this.#key.catch(() => {})
  }

  async mint(): Promise<string> {
    const { privateKey, publicKey } = await this.#key
    const issuedAtMs = this.#now()
    return new SignJWT(this.#models ? { models: this.#models } : {})
      .setProtectedHeader({ alg: tokenAlgorithm, kid: publicKey })
      .setIssuer(publicKey)
      .setAudience(tokenAudience)
      .setIssuedAt(Math.floor(issuedAtMs / 1000))
      .setExpirationTime(Math.floor((issuedAtMs + this.lifetimeMs) / 1000))
      .setJti(crypto.randomUUID())
      .sign(privateKey)
  }
}
