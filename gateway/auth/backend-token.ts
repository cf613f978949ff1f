/**
 * Checks backend tokens: short-lived JWTs that a backend signs with the key of its enrolment. Web
 * APIs only, the same on Node and in workerd. The only importer of jose on this side.
 */
import { decodeJwt, decodeProtectedHeader, errors, jwtVerify, type JWTPayload } from 'jose'
import { importPublicKey, isPublicKey } from '../../shared/auth/backend-key.ts'
import {
  clockSkewMs,
  tokenAlgorithm,
  tokenAudience,
  tokenLifetimeMs,
} from '../../shared/auth/backend-token.ts'
import { limits } from '../../shared/tunnel/limits.ts'
import { LoginRefused } from './login-refused.ts'

/** An enrolled backend that is not revoked. */
export type EnrolledKey = {
  readonly id: string
  readonly name: string
  /** Served model names that it may register; null: any. */
  readonly models: readonly string[] | null
}

/** What a good token gives. */
export type TokenGrant = {
  readonly backendId: string
  readonly name: string
  /** Null: any. */
  readonly models: readonly string[] | null
  readonly publicKey: string
  /** ms since the epoch; until then, the clocks' difference included, the connection may live. */
  readonly expiresAtMs: number
}

export type TokenCheckOptions = {
  /** The backend in use with this public key. */
  readonly findKey: (publicKey: string) => Promise<EnrolledKey | null>
  /** ms since the epoch. */
  readonly now: () => number
  readonly skewMs?: number
}

/** One text for all that a stranger could try: it does not learn which keys are known. */
const unknown = 'This gateway does not know this backend token.'

/** @throws LoginRefused, or what `findKey` throws */
export const checkBackendToken = async (
  token: string,
  { findKey, now, skewMs = clockSkewMs }: TokenCheckOptions,
): Promise<TokenGrant> => {
  const publicKey = token.length <= limits.tokenChars ? keyIdOf(token) : null
  const backend = publicKey === null ? null : await findKey(publicKey)
  if (publicKey === null || !backend) throw new LoginRefused(unknown)
  const claims = await verify(token, publicKey, now(), skewMs)
  const expiresAtMs = (claims.exp ?? 0) * 1000
  if (expiresAtMs > now() + tokenLifetimeMs + skewMs) {
    throw new LoginRefused(`This backend token is valid for more than ${minutes} minutes.`)
  }
  return {
    backendId: backend.id,
    name: backend.name,
    models: narrowed(backend.models, claims['models']),
    publicKey,
    expiresAtMs: expiresAtMs + skewMs,
  }
}

const minutes = tokenLifetimeMs / 60_000

/** The key that the token names; null if it is no token of ours. */
const keyIdOf = (token: string): string | null => {
  try {
    const { alg, kid } = decodeProtectedHeader(token)
    return alg === tokenAlgorithm && isPublicKey(kid) ? kid : null
  } catch {
    return null
  }
}

const verify = async (
  token: string,
  publicKey: string,
  nowMs: number,
  skewMs: number,
): Promise<JWTPayload> => {
  try {
    const { payload } = await jwtVerify(token, await importPublicKey(publicKey), {
      algorithms: [tokenAlgorithm],
      audience: tokenAudience,
      issuer: publicKey,
      requiredClaims: ['exp', 'iat'],
      maxTokenAge: tokenLifetimeMs / 1000,
      clockTolerance: skewMs / 1000,
      currentDate: new Date(nowMs),
    })
    return payload
  } catch (error) {
    throw new LoginRefused(explain(error, token, nowMs), { cause: error })
  }
}

/** Whoever is told more than `unknown` has shown the right signature. */
const explain = (error: unknown, token: string, nowMs: number): string => {
  if (error instanceof errors.JWTExpired) {
    return `This backend token has expired: ${clocks(token, nowMs)}`
  }
  if (!(error instanceof errors.JWTClaimValidationFailed)) return unknown
  if (error.claim === 'aud') return 'This backend token is meant for another audience.'
  if (error.claim === 'iss') return 'This backend token is not issued by its own key.'
  // A claim that is missing or no number is no matter of clocks.
  if (error.reason !== 'check_failed') return `This backend token lacks a good "${error.claim}".`
  return `This backend token is not valid yet: ${clocks(token, nowMs)}`
}

/** A wrong clock is the usual cause, on rented machines above all. */
const clocks = (token: string, nowMs: number): string => {
  const { iat = 0 } = decodeJwt(token)
  return `it was issued at ${time(iat * 1000)}, and here it is ${time(nowMs)} UTC. Set the clock.`
}

/** Any number may stand in a token, also one that is no time. */
const time = (ms: number): string => {
  const date = new Date(ms)
  return Number.isNaN(date.getTime()) ? 'no time at all' : date.toISOString().slice(0, 19)
}

/** A token may do what its backend may, or less. */
const narrowed = (
  backendModels: readonly string[] | null,
  claim: unknown,
): readonly string[] | null => {
  if (claim === undefined) return backendModels
  if (!Array.isArray(claim) || !claim.every((model) => typeof model === 'string')) {
    throw new LoginRefused('The "models" of this backend token are no list of names.')
  }
  return backendModels === null ? claim : claim.filter((model) => backendModels.includes(model))
}
