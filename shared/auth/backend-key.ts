/**
 * The Ed25519 key of a backend, derived from its enrolment secret. The backend signs its tokens with
 * it; the gateway derives it once, at the enrolment, and keeps the public half alone. Web Crypto
 * only: the same on Node and in workerd.
 */
import { base64url } from 'jose'

export type BackendKey = {
  readonly privateKey: CryptoKey
  /** The 32 bytes in base64url. It names the backend in its tokens, and is no secret. */
  readonly publicKey: string
}

const algorithm = 'Ed25519'
const derivation = 'burrow.1 backend key'

/** What precedes the 32 bytes of a seed in PKCS #8 (RFC 8410 section 7). */
const pkcs8Prefix = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20]

/** HKDF-SHA-256 stretches nothing: the secret must have its 178 bits already. */
export const deriveBackendKey = async (enrolmentSecret: string): Promise<BackendKey> => {
  const encoder = new TextEncoder()
  const secret = await crypto.subtle.importKey(
    'raw',
    encoder.encode(enrolmentSecret),
    'HKDF',
    false,
    ['deriveBits'],
  )
  const parameters = {
    name: 'HKDF',
    hash: 'SHA-256',
    salt: new Uint8Array(0),
    info: encoder.encode(derivation),
  }
  const seed = new Uint8Array(await crypto.subtle.deriveBits(parameters, secret, 256))
  const pkcs8 = new Uint8Array([...pkcs8Prefix, ...seed])
  // Web Crypto tells the public half of a private key only in its JWK.
  const readable = await crypto.subtle.importKey('pkcs8', pkcs8, algorithm, true, ['sign'])
  const { x } = await crypto.subtle.exportKey('jwk', readable)
  if (x === undefined) throw new Error('this runtime exports no public key of Ed25519')
  const privateKey = await crypto.subtle.importKey('pkcs8', pkcs8, algorithm, false, ['sign'])
  return { privateKey, publicKey: x }
}

/** Whether the text can be a public key: 32 bytes in base64url. */
export const isPublicKey = (text: unknown): text is string =>
  typeof text === 'string' && /^[\w-]{42}[AEIMQUYcgkosw048]$/.test(text)

/** For checking signatures. @throws where `isPublicKey` is false */
export const importPublicKey = (publicKey: string): Promise<CryptoKey> =>
  crypto.subtle.importKey('raw', new Uint8Array(base64url.decode(publicKey)), algorithm, false, [
    'verify',
  ])
