/** The pre-shared key's proof: HMAC-SHA256 over the gateway's nonce and who is asking. SPEC.md, "Handshake". */

/** Bytes of a CHALLENGE. */
export const nonceBytes = 32

export type ProofInput = {
  /** The payload of CHALLENGE. */
  readonly nonce: Uint8Array
  /** The backend's name, as in the upgrade request. */
  readonly backendName: string
  /** As in HELLO. */
  readonly instanceId: string
}

const encoder = new TextEncoder()

/** "burrow.1 hello" | 0 | nonce | 0 | backend name | 0 | instanceId: no two inputs make the same bytes. */
const signedBytes = ({ nonce, backendName, instanceId }: ProofInput): Uint8Array<ArrayBuffer> => {
  const parts = [
    encoder.encode('burrow.1 hello\0'),
    nonce,
    encoder.encode(`\0${backendName}\0${instanceId}`),
  ]
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.byteLength
  }
  return bytes
}

const importKey = (key: string, use: 'sign' | 'verify'): Promise<CryptoKey> =>
  crypto.subtle.importKey('raw', encoder.encode(key), { name: 'HMAC', hash: 'SHA-256' }, false, [
    use,
  ])

/** HELLO.proof, base64url without padding. */
export const helloProof = async (key: string, input: ProofInput): Promise<string> => {
  const signature = await crypto.subtle.sign(
    'HMAC',
    await importKey(key, 'sign'),
    signedBytes(input),
  )
  return btoa(String.fromCharCode(...new Uint8Array(signature)))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replace(/=+$/, '')
}

const proofBytes = (proof: string): Uint8Array<ArrayBuffer> | null => {
  // 32 bytes are 43 characters; anything else is no proof.
  if (!/^[\w-]{43}$/.test(proof)) return null
  return Uint8Array.from(atob(proof.replaceAll('-', '+').replaceAll('_', '/')), (char) =>
    char.charCodeAt(0),
  )
}

/** Whether `proof` was made with `key`; takes the same time for any wrong one. */
export const isHelloProof = async (
  key: string,
  proof: string,
  input: ProofInput,
): Promise<boolean> => {
  const signature = proofBytes(proof)
  return (
    signature !== null &&
    (await crypto.subtle.verify(
      'HMAC',
      await importKey(key, 'verify'),
      signature,
      signedBytes(input),
    ))
  )
}
