import { createHmac } from 'node:crypto'
import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { isBackendName, TunnelKey } from '../../../shared/auth/tunnel-key.ts'

const text = 'a-key-of-32-characters-or-more-0'
const other = 'another-key-of-32-characters-or-more'

const keyOf = (from: string): TunnelKey => {
  const key = TunnelKey.parse(from)
  if (!key) throw new Error('no key')
  return key
}

const subject = {
  nonce: new Uint8Array(32).fill(7),
  backendName: 'box-1',
  instanceId: '3f1c',
}

test('the proof is the HMAC of SPEC.md', async () => {
  const theirs = createHmac('sha256', text)
    .update('burrow.1 hello\0')
    .update(subject.nonce)
    .update('\0box-1\0')
    .update('3f1c')
    .digest('base64url')
  expect(await keyOf(text).prove(subject)).toBe(theirs)
})

test('a proof holds for its key, nonce, name and instance alone', async () => {
  const proof = await keyOf(text).prove(subject)

  expect(await keyOf(text).isProof(proof, subject)).toBe(true)
  expect(await keyOf(other).isProof(proof, subject)).toBe(false)
  for (const changed of [
    { ...subject, nonce: new Uint8Array(32).fill(8) },
    { ...subject, backendName: 'box-2' },
    { ...subject, instanceId: '3f1d' },
  ]) {
    expect(await keyOf(text).isProof(proof, changed)).toBe(false)
  }
})

test.each([
  ['empty', ''],
  ['too short', 'AAAA'],
  ['too long', 'A'.repeat(44)],
  ['no base64url', '!'.repeat(43)],
  ['made up', 'A'.repeat(43)],
])('a proof that is %s is none', async (_, proof) => {
  expect(await keyOf(text).isProof(proof, subject)).toBe(false)
})

test('a key is long enough, without blanks and commas, and is never shown', () => {
  for (const bad of ['', 'short', `${text} `, `${text},${other}`, `${text}ü`]) {
    expect(TunnelKey.parse(bad)).toBeNull()
  }
  const key = keyOf(text)
  expect([String(key), JSON.stringify({ key }), inspect({ key })].join()).not.toContain(text)
})

test.each([
  ['box-1.example', true],
  ['x'.repeat(64), true],
  ['x'.repeat(65), false],
  ['', false],
  ['a b', false],
  ['a\0b', false],
  ['büchse', false],
])('%j as a backend name: %s', (name, isName) => {
  expect(isBackendName(name)).toBe(isName)
})
