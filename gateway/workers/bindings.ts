/** What the Worker and its Durable Object are given: wrangler.jsonc's bindings, and secrets. */
import { ConfigError } from '../../shared/config-error.ts'
import { pepperFromHex, type Pepper } from '../auth/pepper.ts'

export type Bindings = {
  readonly DB: D1Database
  readonly HUB: DurableObjectNamespace
  /** Secret, 64 hex digits; see auth/pepper.ts. */
  readonly BURROW_PEPPER?: string
  /** Secret that opens the admin API; without it there is none. */
  readonly BURROW_ADMIN_TOKEN?: string
}

const minAdminTokenChars = 32

/** @throws ConfigError when the secret is missing or malformed */
export const pepperOf = ({ BURROW_PEPPER = '' }: Bindings): Pepper => {
  const pepper = pepperFromHex(BURROW_PEPPER.trim())
  if (pepper) return pepper
  throw new ConfigError([
    'the secret BURROW_PEPPER must be 64 hex digits: ' +
      '`openssl rand -hex 32 | npx wrangler secret put BURROW_PEPPER`',
  ])
}

/** Null where there is no admin API. @throws ConfigError when the secret is too short to be one */
export const adminTokenOf = ({ BURROW_ADMIN_TOKEN }: Bindings): string | null => {
  if (!BURROW_ADMIN_TOKEN) return null
  if (BURROW_ADMIN_TOKEN.length >= minAdminTokenChars) return BURROW_ADMIN_TOKEN
  throw new ConfigError([
    `the secret BURROW_ADMIN_TOKEN must have at least ${minAdminTokenChars} characters: ` +
      '`openssl rand -hex 32 | npx wrangler secret put BURROW_ADMIN_TOKEN`',
  ])
}
