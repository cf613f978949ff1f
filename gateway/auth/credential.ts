/**
 * The secrets that clients present (`brw_…`), that backends derive their keys from (`brt_…`) and that let
 * visitors in to exposed services (`brs_…`).
 *
 * After the prefix come 30 random base62 characters (178 bits) and 6 of a CRC-32 over all before
 * them, as in GitHub's tokens: mistyped or invented ones are turned down without a look into the
 * database, and scanners for leaked secrets find real ones.
 */
import { createHmac } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { base62, randomBase62 } from '../ids.ts'
import type { Pepper } from './pepper.ts'

const prefixes = { apiKey: 'brw_', enrolmentSecret: 'brt_', serviceGrant: 'brs_' } as const

export type CredentialKind = keyof typeof prefixes

const randomLength = 30
const checksumLength = 6
const redacted = '[redacted]'

const checksum = (text: string): string => {
  let rest = crc32(text)
  let digits = ''
  for (let i = 0; i < checksumLength; i++) {
    digits = (base62[rest % 62] ?? '') + digits
    rest = Math.floor(rest / 62)
  }
  return digits
}

/** Whether a text looks like a secret of ours, of whichever kind. */
export const isCredentialText = (text: string): boolean =>
  Object.values(prefixes).some((prefix) => text.startsWith(prefix))

/** A secret that no log, template or JSON can show by accident. */
export class Credential {
  readonly kind: CredentialKind
  readonly #secret: string

  private constructor(kind: CredentialKind, secret: string) {
    this.kind = kind
    this.#secret = secret
  }

  static generate(kind: CredentialKind): Credential {
    const text = prefixes[kind] + randomBase62(randomLength)
    return new Credential(kind, text + checksum(text))
  }

  /** Null unless `text` is well formed, of this kind, and its checksum holds. */
  static parse(kind: CredentialKind, text: string): Credential | null {
    const prefix = prefixes[kind]
    if (text.length !== prefix.length + randomLength + checksumLength) return null
    if (!text.startsWith(prefix) || !/^\w+$/.test(text)) return null
    const body = text.slice(0, -checksumLength)
    return text.endsWith(checksum(body)) ? new Credential(kind, text) : null
  }

  /** What the database stores in place of an API key: HMAC-SHA-256, in hex. */
  digest(pepper: Pepper): string {
    return createHmac('sha256', pepper.key).update(this.#secret).digest('hex')
  }

  /** The last four characters; they are of the checksum and tell nothing. */
  get hint(): string {
    return this.#secret.slice(-4)
  }

  /** The secret itself, to be shown once. */
  reveal(): string {
    return this.#secret
  }

  toString(): string {
    return redacted
  }

  toJSON(): string {
    return redacted
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return redacted
  }
}
