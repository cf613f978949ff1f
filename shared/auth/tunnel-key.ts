/**
 * The pre-shared key that lets backends in which were not enrolled. It never travels: a backend
 * proves that it has it (shared/tunnel/challenge.ts).
 */
import { helloProof, isHelloProof, type ProofInput } from '../tunnel/challenge.ts'

const minKeyChars = 32

/** What to tell an operator whose key `TunnelKey.parse` refused. */
export const tunnelKeyRequirement =
  `at least ${minKeyChars} visible ASCII characters without a comma: ` +
  'make one with `openssl rand -hex 32`'

/** The upgrade request's header with the backend's name, which asks for a CHALLENGE. */
export const backendHeader = 'burrow-backend'

/** Names that fit into a header and a log line as they are. */
export const isBackendName = (text: string): boolean => /^[\w.-]{1,64}$/.test(text)

/** The key, which no log, template or JSON can show by accident. */
export class TunnelKey {
  readonly #text: string

  private constructor(text: string) {
    this.#text = text
  }

  /** Null if the text could be guessed, or has characters that get lost in shells and lists. */
  static parse(text: string): TunnelKey | null {
    const isSound = text.length >= minKeyChars && /^[\x21-\x2b\x2d-\x7e]+$/.test(text)
    return isSound ? new TunnelKey(text) : null
  }

  /** HELLO's proof. */
  prove(input: ProofInput): Promise<string> {
    return helloProof(this.#text, input)
  }

  /** Whether the proof was made with this key, in a time that does not tell where it differs. */
  isProof(proof: string, input: ProofInput): Promise<boolean> {
    return isHelloProof(this.#text, proof, input)
  }

  toString(): string {
    return redacted
  }

  toJSON(): string {
    return redacted
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return redacted
  }
}

const redacted = '[redacted]'
