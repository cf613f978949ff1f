/** Who asks for a tunnel, from the upgrade request's headers; the same on both runtimes. */
import { backendHeader, isBackendName } from '../../shared/auth/tunnel-key.ts'
import { ApiError } from '../../shared/errors.ts'
import { protocolName } from '../../shared/tunnel/handshake.ts'
import type { BackendLogin, Grant } from '../auth/backend-login.ts'
import { LoginRefused } from '../auth/login-refused.ts'

export type Caller =
  /** Its token holds. */
  | { readonly grant: Grant }
  /** It has still to prove that it has the tunnel key. */
  | { readonly backendName: string }

/** The value of a request's header. */
export type HeaderOf = (name: string) => string | null | undefined

const unauthorized = (message: string) =>
  new ApiError(401, message, { code: 'invalid_backend_token' })

/** @throws ApiError unless the request offers the protocol */
export const checkProtocol = (header: HeaderOf): void => {
  const offered = (header('sec-websocket-protocol') ?? '').split(',').map((name) => name.trim())
  if (!offered.includes(protocolName)) {
    throw new ApiError(426, `This gateway speaks ${protocolName}.`)
  }
}

/** @throws ApiError 401, or what the look-up throws */
export const identifyCaller = async (
  header: HeaderOf,
  login: Pick<BackendLogin, 'withToken' | 'hasTunnelKey'>,
): Promise<Caller> => {
  const authorization = header('authorization')
  const backendName = header(backendHeader)
  if (typeof authorization !== 'string' && typeof backendName === 'string') {
    if (!login.hasTunnelKey) throw unauthorized(noTunnelKey)
    if (!isBackendName(backendName)) throw unauthorized(badName)
    return { backendName }
  }
  const token = /^Bearer (\S+)$/i.exec(authorization ?? '')?.[1]
  if (token === undefined) throw unauthorized(noToken)
  try {
    return { grant: await login.withToken(token) }
  } catch (error) {
    throw error instanceof LoginRefused ? unauthorized(error.message) : error
  }
}

/** An address from which too many attempts have failed. */
export const tooOften = (waitMs: number): ApiError =>
  new ApiError(429, 'Too many failed attempts to connect. Try again later.', {
    type: 'rate_limit_error',
    retryAfterSeconds: Math.ceil(waitMs / 1000),
  })

/** The look-up failed for reasons of our own. */
export const notNow = new ApiError(
  503,
  'The backend token cannot be checked at the moment. Try again later.',
  { type: 'service_unavailable_error', retryAfterSeconds: 1 },
)

const noToken = 'A backend must present its token.'
const noTunnelKey = 'This gateway has no tunnel key: enroll the backend here, or set its key.'
const badName = 'The name of a backend has 1 to 64 letters, digits, dots, hyphens and underscores.'
