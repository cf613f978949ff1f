/** The backend's part before the first stream: HELLO, after CHALLENGE where a pre-shared key is used, and WELCOME. */
import { TunnelError } from './error.ts'
import type { Frame } from './frame.ts'
import { encodeHello, parseWelcome, type Hello, type Welcome } from './hello.ts'
import type { Link } from './link.ts'

export type BackendHandshakeOptions = {
  readonly link: Link
  readonly hello: Hello
  readonly prove: ((nonce: Uint8Array) => string | Promise<string>) | undefined
  /** The gateway has let us in. */
  readonly done: (welcome: Welcome) => void
}

export class BackendHandshake {
  readonly #options: BackendHandshakeOptions
  #isChallenged = false
  #hasSaidHello = false

  constructor(options: BackendHandshakeOptions) {
    this.#options = options
    if (!options.prove) this.#sayHello(options.hello)
  }

  /** Any frame before the handshake is done. @throws TunnelError unless it is the one that is due */
  receive({ name, payload }: Frame): void {
    const { prove, done } = this.#options
    if (name === 'CHALLENGE' && prove && !this.#isChallenged) {
      this.#isChallenged = true
      // The view is of the message: it must survive until it is signed.
      void this.#answer(prove, payload.slice())
    } else if (name === 'WELCOME' && this.#hasSaidHello) {
      done(parseWelcome(payload))
    } else {
      const before = this.#hasSaidHello ? 'WELCOME' : 'HELLO'
      throw new TunnelError('PROTOCOL_ERROR', `${name} before ${before}`)
    }
  }

  async #answer(
    prove: (nonce: Uint8Array) => string | Promise<string>,
    nonce: Uint8Array,
  ): Promise<void> {
    const { hello, link } = this.#options
    try {
      this.#sayHello({ ...hello, proof: await prove(nonce) })
    } catch (error) {
      link.fail(error)
    }
  }

  #sayHello(hello: Hello): void {
    this.#hasSaidHello = true
    const payload = encodeHello(hello)
    this.#options.link.outbox.control({ name: 'HELLO', streamId: 0, payload })
  }
}
