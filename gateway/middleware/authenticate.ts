/** API keys: who may call. */
import { createMiddleware } from 'hono/factory'
import { ApiError } from '../../shared/errors.ts'
import { Credential } from '../auth/credential.ts'
import type { Pepper } from '../auth/pepper.ts'
import { findActiveApiKey } from '../db/api-keys.ts'
import type { Database } from '../db/database.ts'
import type { GatewayEnv } from '../gateway-env.ts'

const missing =
  "You didn't provide an API key. You need to provide your API key in an Authorization header " +
  'using Bearer auth (i.e. Authorization: Bearer YOUR_KEY). Ask the operator of this gateway for one.'

/** One text for malformed, unknown and revoked keys, and the key is not repeated. */
const incorrect =
  'Incorrect API key provided. It must be a valid key of this gateway, beginning with brw_. ' +
  'Ask its operator for one.'

const unauthorized = (message: string): ApiError =>
  new ApiError(401, message, { code: 'invalid_api_key' })

/** For requests that were running when their key was revoked. */
export const revokedKey = (): ApiError => unauthorized('This API key has been revoked.')

/** The key that a request presents, well formed at least. @throws ApiError 401 */
export const presentedKey = (headers: Headers): Credential => {
  const secret = /^Bearer +(\S+) *$/i.exec(headers.get('authorization') ?? '')?.[1]
  if (secret === undefined) throw unauthorized(missing)
  const credential = Credential.parse('apiKey', secret)
  if (!credential) throw unauthorized(incorrect)
  return credential
}

/**
 * Lets a request pass that presents a key in use. The database is asked each time, so that a
 * revoked key is out at once.
 */
export const authenticate = (db: Database, pepper: Pepper) =>
  createMiddleware<GatewayEnv>(async (c, next) => {
    const credential = presentedKey(c.req.raw.headers)
    const key = await findActiveApiKey(db, credential.digest(pepper))
    if (!key) throw unauthorized(incorrect)
    c.set('key', key)
    await next()
  })
