/** A backend that says it has the tunnel key: a stranger until its HELLO proves it. */
import type { Challenge, Refusal } from '../../shared/tunnel/gateway-handshake.ts'
import type { Hello } from '../../shared/tunnel/hello.ts'
import { nonceBytes } from '../../shared/tunnel/challenge.ts'
import type { Grant } from '../auth/backend-login.ts'
import {
  checked,
  confirmGrant,
  scopeProblem,
  unauthorized,
  type Admission,
  type AdmissionOptions,
  type Session,
} from './admission.ts'
import type { BackendIdentity } from './backend-connection.ts'

export type TunnelKeyAdmissionOptions = AdmissionOptions & {
  /** As in the upgrade request. */
  readonly backendName: string
  /** What stands for its address in a count; see `ClientAddresses`. */
  readonly address?: string | null
}

export class TunnelKeyAdmission implements Admission {
  readonly challenge: Challenge
  readonly address: string | null
  readonly #options: TunnelKeyAdmissionOptions
  #grant: Grant | undefined
  #session: Session | undefined

  constructor(options: TunnelKeyAdmissionOptions) {
    this.#options = options
    this.address = options.address ?? null
    const nonce = crypto.getRandomValues(new Uint8Array(nonceBytes))
    this.challenge = { nonce, verify: (hello) => this.#verify(nonce, hello) }
  }

  get identity(): BackendIdentity | null {
    return this.#grant ? { backendId: this.#grant.backendId, name: this.#grant.name } : null
  }

  watch(session: Session): void {
    this.#session = session
  }

  async admit(hello: Hello): Promise<BackendIdentity | Refusal> {
    const { login, log, backendName } = this.#options
    return checked(log, async (): Promise<BackendIdentity | Refusal> => {
      this.#grant = await login.withTunnelKey(backendName)
      const { backendId, name } = this.#grant
      return scopeProblem(this.#grant, hello) ?? { backendId, name }
    })
  }

  async confirm(): Promise<Refusal | undefined> {
    return this.#grant && confirmGrant(this.#grant, this.#options)
  }

  renew(): void {
    const { code, reason } = unauthorized('a backend with the tunnel key has no tokens')
    this.#session?.close(code, reason)
  }

  async #verify(nonce: Uint8Array, { proof, instanceId }: Hello): Promise<boolean> {
    const { login, backendName } = this.#options
    return proof !== undefined && login.isProof(proof, { nonce, backendName, instanceId })
  }
}
