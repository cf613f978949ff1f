/** The gateway's part before the first stream: CHALLENGE where asked for, HELLO, and whether it is let in. */
import { closeCodes, TunnelError } from './error.ts'
import type { Frame } from './frame.ts'
import { parseHello, type Hello } from './hello.ts'
import type { Link } from './link.ts'

/** Why a backend is not let in: the close code and its sentence. */
export type Refusal = { readonly code: number; readonly reason: string }

/** Asks for the pre-shared key's proof before HELLO is believed. */
export type Challenge = {
  /** 32 random bytes, used once. */
  readonly nonce: Uint8Array
  /** Whether HELLO's proof is right (see `isHelloProof`); if not, the session closes with 4001. */
  readonly verify: (hello: Hello) => boolean | Promise<boolean>
}

type Verdict = Refusal | void

export type GatewayHandshakeOptions = {
  readonly link: Link
  readonly challenge: Challenge | undefined
  readonly onHello: (hello: Hello) => Verdict | Promise<Verdict>
  /** The backend is let in. */
  readonly done: (hello: Hello) => void
}

const badProof: Refusal = {
  code: closeCodes.AUTH,
  reason: 'the proof of the pre-shared key is missing or wrong',
}

export class GatewayHandshake {
  readonly #options: GatewayHandshakeOptions
  #isChecking = false

  constructor(options: GatewayHandshakeOptions) {
    this.#options = options
    const { link, challenge } = options
    if (challenge) {
      link.outbox.control({ name: 'CHALLENGE', streamId: 0, payload: challenge.nonce })
    }
  }

  /** Any frame before the handshake is done. @throws TunnelError unless it is the one HELLO */
  receive({ name, payload }: Frame): void {
    if (this.#isChecking) throw new TunnelError('PROTOCOL_ERROR', `${name} before WELCOME`)
    if (name !== 'HELLO') throw new TunnelError('PROTOCOL_ERROR', `${name} before HELLO`)
    const hello = parseHello(payload)
    this.#isChecking = true
    const verdict = this.#check(hello)
    // At once where nobody has to wait, so that WELCOME leaves in the same message's turn.
    if (!(verdict instanceof Promise)) {
      this.#settle(hello, verdict)
      return
    }
    verdict.then(
      (refusal) => this.#settle(hello, refusal),
      (error: unknown) => this.#options.link.fail(error),
    )
  }

  #check(hello: Hello): Verdict | Promise<Verdict> {
    const { challenge, onHello } = this.#options
    if (!challenge) return onHello(hello)
    if (hello.proof === undefined) return badProof
    const decide = (isRight: boolean) => (isRight ? onHello(hello) : badProof)
    const isRight = challenge.verify(hello)
    return typeof isRight === 'boolean' ? decide(isRight) : isRight.then(decide)
  }

  #settle(hello: Hello, refusal: Verdict): void {
    const { link, done } = this.#options
    if (refusal) link.close(refusal.code, refusal.reason)
    else if (!link.isClosed) done(hello)
  }
}
