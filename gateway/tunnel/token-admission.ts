/** A backend that came with a token: it lives as long as it sends fresh ones in time. */
import { closeCodes } from '../../shared/tunnel/error.ts'
import type { Refusal } from '../../shared/tunnel/gateway-handshake.ts'
import type { Hello } from '../../shared/tunnel/hello.ts'
import type { Grant } from '../auth/backend-login.ts'
import { LoginRefused } from '../auth/login-refused.ts'
import { errorFields } from '../error-fields.ts'
import {
  confirmGrant,
  scopeProblem,
  unauthorized,
  type Admission,
  type AdmissionOptions,
  type Session,
} from './admission.ts'
import type { BackendIdentity } from './backend-connection.ts'

const expired = unauthorized('the backend token has expired')

/** A token that could not be checked, for want of the database, is checked again. */
const retryMs = 5_000

export type TokenAdmissionOptions = AdmissionOptions & {
  /** ms since the epoch. */
  readonly now: () => number
  /** False where no timer may run: `closeIfExpired` is asked instead. Default true. */
  readonly watchExpiry?: boolean
  /** A fresh token was accepted. */
  readonly onRenewed?: (grant: Grant) => void
}

export class TokenAdmission implements Admission {
  readonly #options: TokenAdmissionOptions
  #grant: Grant
  #hello: Hello | undefined
  #session: Session | undefined
  #expiry: ReturnType<typeof setTimeout> | undefined
  #retry: ReturnType<typeof setTimeout> | undefined
  #isChecking = false
  #nextToken: string | undefined

  /** @param hello of a backend that was let in before */
  constructor(grant: Grant, options: TokenAdmissionOptions, hello?: Hello) {
    this.#grant = grant
    this.#options = options
    this.#hello = hello
  }

  get identity(): BackendIdentity {
    const { backendId, name } = this.#grant
    return { backendId, name }
  }

  get grant(): Grant {
    return this.#grant
  }

  /** From now on the session is closed when its token runs out. */
  watch(session: Session): void {
    this.#session = session
    this.#awaitExpiry()
    void session.closed.then(() => {
      this.#session = undefined
      clearTimeout(this.#expiry)
      clearTimeout(this.#retry)
    })
  }

  async admit(hello: Hello): Promise<BackendIdentity | Refusal> {
    this.#hello = hello
    return scopeProblem(this.#grant, hello) ?? this.identity
  }

  confirm(): Promise<Refusal | undefined> {
    return confirmGrant(this.#grant, this.#options)
  }

  /** Closes the session if its token has run out. */
  closeIfExpired(): void {
    const { expiresAtMs } = this.#grant
    if (expiresAtMs !== null && expiresAtMs <= this.#options.now()) this.#close(expired)
  }

  /** One token is checked at a time, and then the latest that came meanwhile. */
  renew(token: string): void {
    this.#nextToken = token
    clearTimeout(this.#retry)
    if (!this.#isChecking) void this.#checkNext()
  }

  async #checkNext(): Promise<void> {
    const { login, log } = this.#options
    this.#isChecking = true
    while (this.#session && this.#nextToken !== undefined) {
      const token = this.#nextToken
      this.#nextToken = undefined
      try {
        this.#accept(await login.withToken(token))
      } catch (error) {
        if (error instanceof LoginRefused) {
          this.#close(unauthorized(error.message))
        } else {
          log.error('backend token could not be checked', errorFields(error))
          this.#retry = setTimeout(() => this.renew(this.#nextToken ?? token), retryMs)
          break
        }
      }
    }
    this.#isChecking = false
  }

  #accept(grant: Grant): void {
    const problem =
      grant.backendId !== this.#grant.backendId
        ? unauthorized('the new token is of another backend')
        : this.#hello && scopeProblem(grant, this.#hello)
    if (problem) return this.#close(problem)
    this.#grant = grant
    this.#awaitExpiry()
    this.#options.onRenewed?.(grant)
  }

  #awaitExpiry(): void {
    clearTimeout(this.#expiry)
    const { now, watchExpiry = true } = this.#options
    const { expiresAtMs } = this.#grant
    if (expiresAtMs === null || !this.#session || !watchExpiry) return
    this.#expiry = setTimeout(() => this.#close(expired), expiresAtMs - now())
  }

  #close({ code, reason }: Refusal): void {
    if (!this.#session) return
    const { name } = this.#grant
    if (code === closeCodes.AUTH) this.#options.log.warn('backend turned out', { name, reason })
    this.#session.close(code, reason)
  }
}
