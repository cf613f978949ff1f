import { createPrivateKey, createPublicKey, hkdfSync } from 'node:crypto'
import { expect, test } from 'vitest'
import { deriveBackendKey, importPublicKey, isPublicKey } from '../../../shared/auth/backend-key.ts'

const secret = 'brt_0123456789abcdefghijABCDEFGHIJ012345'

test('the key is the one of SPEC.md: Ed25519 from HKDF-SHA-256 of the secret', async () => {
  // The same by another implementation, node:crypto.
  const seed = Buffer.from(hkdfSync('sha256', secret, '', 'burrow.1 backend key', 32))
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed])
  const theirs = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  const { x } = createPublicKey(theirs).export({ format: 'jwk' })

  const { publicKey } = await deriveBackendKey(secret)
  expect(publicKey).toBe(x)
  expect(publicKey).toMatchInlineSnapshot(`"3ETIfpsz9VjTJQWn3_st1q9wagYQWUF2T7aoj4hNiEo"`)
})

test('it signs what its public half verifies, and cannot be exported', async () => {
  const { privateKey, publicKey } = await deriveBackendKey(secret)
  const text = new TextEncoder().encode('hello')
  const signature = await crypto.subtle.sign('Ed25519', privateKey, text)
  const key = await importPublicKey(publicKey)

  expect(await crypto.subtle.verify('Ed25519', key, signature, text)).toBe(true)
  expect(privateKey.extractable).toBe(false)
  const other = await importPublicKey((await deriveBackendKey(`${secret}x`)).publicKey)
  expect(await crypto.subtle.verify('Ed25519', other, signature, text)).toBe(false)
})

test('a public key has one spelling', async () => {
  const { publicKey } = await deriveBackendKey(secret)
  expect(isPublicKey(publicKey)).toBe(true)
  for (const wrong of ['', `${publicKey}=`, publicKey.slice(1), `${publicKey.slice(0, -1)}B`, 1]) {
    expect(isPublicKey(wrong)).toBe(false)
  }
})
