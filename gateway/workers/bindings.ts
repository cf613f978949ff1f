/** What the Worker and its Durable Object are given: wrangler.jsonc's bindings, and secrets. */
import { ConfigError } from '../../shared/config-error.ts'
import type { TunnelKey } from '../../shared/auth/tunnel-key.ts'
import { pepperFromHex, type Pepper } from '../auth/pepper.ts'
import { readTunnelKeys } from '../auth/tunnel-keys.ts'

export type Bindings = {
  readonly DB: D1Database
  readonly HUB: DurableObjectNamespace
  /** Secret, 64 hex digits; see auth/pepper.ts. */
  readonly BURROW_PEPPER?: string
  /** Secret that opens the admin API; without it there is none. */
  readonly BURROW_ADMIN_TOKEN?: string
  /** Secret that lets backends in which were not enrolled: one, or two with a comma. */
  readonly BURROW_TUNNEL_KEY?: string
}

/** The secrets as settings. */
export type Settings = {
  readonly pepper: Pepper
  /** Null: there is no admin API. */
  readonly adminToken: string | null
  readonly tunnelKeys: readonly TunnelKey[]
}

const minAdminTokenChars = 32

/** @throws ConfigError with all problems together */
export const readSettings = (bindings: Bindings): Settings => {
  const { BURROW_PEPPER = '', BURROW_ADMIN_TOKEN = '', BURROW_TUNNEL_KEY } = bindings
  const problems: string[] = []
  const pepper = pepperFromHex(BURROW_PEPPER.trim())
  if (!pepper) problems.push(`the secret BURROW_PEPPER must be 64 hex digits: ${put('PEPPER')}`)
  if (BURROW_ADMIN_TOKEN !== '' && BURROW_ADMIN_TOKEN.length < minAdminTokenChars) {
    problems.push(
      `the secret BURROW_ADMIN_TOKEN must have at least ${minAdminTokenChars} characters: ` +
        put('ADMIN_TOKEN'),
    )
  }
  const tunnelKeys = readTunnelKeys(BURROW_TUNNEL_KEY, problems)
  if (!pepper || problems.length > 0) throw new ConfigError(problems)
  return { pepper, adminToken: BURROW_ADMIN_TOKEN || null, tunnelKeys }
}

const put = (secret: string): string =>
  `openssl rand -hex 32 | npx wrangler secret put BURROW_${secret}`
