/**
 * The pre-shared key that lets backends in which were not enrolled, and the proof that one has it:
 * an HMAC over the gateway's nonce, so that the key itself never travels. Web Crypto only.
 */
import { base64url } from 'jose'

/** What a proof is about. */
export type ProofSubject = {
  /** The gateway's CHALLENGE, new on each connection: a proof seen once proves nothing again. */
  readonly nonce: Uint8Array
  readonly backendName: string
  readonly instanceId: string
}

export const nonceBytes = 32

const minKeyChars = 32
const proofPurpose = 'burrow.1 hello'
const hmac = { name: 'HMAC', hash: 'SHA-256' }

/** Names that fit into a header and a log line as they are. */
export const isBackendName = (text: string): boolean => /^[\w.-]{1,64}$/.test(text)

/** The key, which no log, template or JSON can show by accident. */
export class TunnelKey {
  readonly #text: string

  private constructor(text: string) {
    this.#text = text
  }

  /** Null if the text is too short to withstand guessing, or has characters that get lost in shells. */
  static parse(text: string): TunnelKey | null {
    return text.length >= minKeyChars && /^[\x21-\x2b\x2d-\x7e]+$/.test(text)
      ? new TunnelKey(text)
      : null
  }

  /** What to tell an operator whose key `parse` refused. */
  static readonly requirement =
    `at least ${minKeyChars} visible ASCII characters and no comma: ` +
    'make one with `openssl rand -hex 32`'

  /** The proof in base64url. */
  async prove(subject: ProofSubject): Promise<string> {
    const key = await this.#import('sign')
    return base64url.encode(new Uint8Array(await crypto.subtle.sign(hmac, key, message(subject))))
  }

  /** Whether the proof was made with this key, in a time that does not depend on where it differs. */
  async isProof(proof: string, subject: ProofSubject): Promise<boolean> {
    if (!/^[\w-]{43}$/.test(proof)) return false
    const key = await this.#import('verify')
    return crypto.subtle.verify(hmac, key, base64url.decode(proof), message(subject))
  }

  #import(usage: 'sign' | 'verify'): Promise<CryptoKey> {
    const bytes = new TextEncoder().encode(this.#text)
    return crypto.subtle.importKey('raw', bytes, hmac, false, [usage])
  }

  toString(): string {
    return '[redacted]'
  }

  toJSON(): string {
    return '[redacted]'
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return '[redacted]'
  }
}

/** No part may hold the zero that separates them, so that no two subjects have the same message. */
const message = ({ nonce, backendName, instanceId }: ProofSubject): Uint8Array<ArrayBuffer> => {
  const encoder = new TextEncoder()
  return new Uint8Array([
    ...encoder.encode(`${proofPurpose}\0`),
    ...nonce,
    ...encoder.encode(`\0${backendName}\0${instanceId}`),
  ])
}
