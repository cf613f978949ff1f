/** What decides over one upgraded connection: who it is, what it may serve, and until when. */
import type { Log } from '../../shared/log.ts'
import { closeCodes } from '../../shared/tunnel/error.ts'
import type { Challenge, Refusal } from '../../shared/tunnel/gateway-handshake.ts'
import type { GatewaySession } from '../../shared/tunnel/gateway-session.ts'
import type { Hello } from '../../shared/tunnel/hello.ts'
import type { BackendLogin, Grant } from '../auth/backend-login.ts'
import { LoginRefused } from '../auth/login-refused.ts'
import { errorFields } from '../error-fields.ts'
import type { BackendIdentity } from './backend-connection.ts'

export interface Admission {
  /** Null until HELLO has proved the tunnel key. */
  readonly identity: BackendIdentity | null
  readonly challenge?: Challenge
  /** Of a stranger: where it comes from, as far as that is known. */
  readonly address?: string | null
  /** HELLO has come, and its proof held: who is it, or why is it turned down? Never rejects. */
  admit(hello: Hello): Promise<BackendIdentity | Refusal>
  /**
   * Asked when a revocation would find the connection: was there one before? Never rejects.
   */
  confirm(): Promise<Refusal | undefined>
  /** AUTH has come. */
  renew(token: string): void
}

export const isRefusal = (answer: BackendIdentity | Refusal): answer is Refusal => 'code' in answer

export type AdmissionOptions = {
  readonly login: Pick<BackendLogin, 'withToken' | 'withTunnelKey' | 'isProof' | 'isInForce'>
  readonly log: Log
}

/** Closes the connection. */
export type Session = Pick<GatewaySession, 'close' | 'closed'>

export const unauthorized = (reason: string): Refusal => ({ code: closeCodes.AUTH, reason })

const notNow: Refusal = {
  code: closeCodes.INTERNAL_ERROR,
  reason: 'backends cannot be checked at the moment',
}

/** Runs a check; what fails for reasons of our own is no fault of the backend's. */
export const checked = async <T>(
  log: Log,
  check: () => Promise<T | Refusal>,
): Promise<T | Refusal> => {
  try {
    return await check()
  } catch (error) {
    if (error instanceof LoginRefused) return unauthorized(error.message)
    log.error('a backend could not be checked', errorFields(error))
    return notNow
  }
}

export const confirmGrant = (
  grant: Grant,
  { login, log }: AdmissionOptions,
): Promise<Refusal | undefined> =>
  checked(log, async () =>
    (await login.isInForce(grant)) ? undefined : unauthorized('the backend was revoked'),
  )

/** A close reason holds 123 bytes. */
const maxShownChars = 50

/** Why HELLO goes beyond the grant; undefined if it does not. */
export const scopeProblem = ({ models }: Grant, hello: Hello): Refusal | undefined => {
  const foreign = models && hello.models.find((model) => !models.includes(model))
  if (foreign === null || foreign === undefined) return undefined
  const shown = JSON.stringify(foreign.slice(0, maxShownChars))
  return unauthorized(`this backend may not serve ${shown}: enroll it with that --model`)
}
