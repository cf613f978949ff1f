import { base64url, SignJWT, UnsecuredJWT, type JWTPayload } from 'jose'
import { beforeAll, describe, expect, test } from 'vitest'
import { TokenMint } from '../../../backend/tunnel/token.ts'
import { checkBackendToken, type EnrolledKey } from '../../../gateway/auth/backend-token.ts'
import { LoginRefused } from '../../../gateway/auth/login-refused.ts'
import { deriveBackendKey, type BackendKey } from '../../../shared/auth/backend-key.ts'

const secret = 'brt_0123456789abcdefghijABCDEFGHIJ012345'
const nowMs = Date.UTC(2026, 10, 25, 12)
const nowSeconds = nowMs / 1000
const unknown = 'This gateway does not know this backend token.'

let key: BackendKey
let otherKey: BackendKey
const box: EnrolledKey = { id: 'be_1', name: 'box', models: null }

beforeAll(async () => {
  key = await deriveBackendKey(secret)
  otherKey = await deriveBackendKey(`${secret}x`)
})

const check = (token: string, backend: EnrolledKey | null = box, now = nowMs) =>
  checkBackendToken(token, {
    findKey: async (publicKey) => (publicKey === key.publicKey ? backend : null),
    now: () => now,
  })

/** A good token but for what is changed. */
const forge = (claims: object = {}, header: object = {}, signingKey = key.privateKey) => {
  const iss = key.publicKey
  const good = { iss, aud: 'burrow-tunnel', iat: nowSeconds, exp: nowSeconds + 600 }
  const payload: JWTPayload = JSON.parse(JSON.stringify({ ...good, ...claims }))
  return new SignJWT(payload)
    .setProtectedHeader({ alg: 'EdDSA', kid: key.publicKey, ...header })
    .sign(signingKey)
}

const mint = (options: { lifetimeMs?: number; models?: string[]; now?: () => number } = {}) =>
  new TokenMint({ enrolmentSecret: secret, now: () => nowMs, ...options }).mint()

test('a token that the backend makes is good, for its time and 30 s of the clocks', async () => {
  expect(await check(await mint())).toEqual({
    backendId: 'be_1',
    name: 'box',
    models: null,
    publicKey: key.publicKey,
    expiresAtMs: nowMs + 630_000,
  })
  const token = await mint()
  await check(token, box, nowMs + 629_000)
  await expect(check(token, box, nowMs + 631_000)).rejects.toThrow(LoginRefused)
  await check(token, box, nowMs - 29_000)
  await expect(check(token, box, nowMs - 31_000)).rejects.toThrow(LoginRefused)
})

test('no two tokens are the same, and none holds the secret', async () => {
  const [first, second] = [await mint(), await mint()]
  expect(first).not.toBe(second)
  const decoded = first.split('.').map((part) => new TextDecoder().decode(base64url.decode(part)))
  expect(decoded.join()).not.toContain(secret.slice(4, 20))
})

describe('turned down with the reason, since its signature is right:', () => {
  test.each<[string, object, string]>([
    [
      'an expired one',
      { iat: nowSeconds - 700, exp: nowSeconds - 100 },
      'This backend token has expired: it was issued at 2026-11-25T11:48:20, and here it is ' +
        '2026-11-25T12:00:00 UTC. Set the clock.',
    ],
    [
      'one that was issued long ago, whatever its end',
      { iat: nowSeconds - 700, exp: nowSeconds + 100 },
      'This backend token has expired',
    ],
    [
      'one of the future',
      { iat: nowSeconds + 100, exp: nowSeconds + 200 },
      'This backend token is not valid yet: it was issued at 2026-11-25T12:01:40',
    ],
    ['one that says not yet', { nbf: nowSeconds + 100 }, 'This backend token is not valid yet'],
    ['one for long', { exp: nowSeconds + 700 }, 'is valid for more than 10 minutes'],
    ['one for ever', { exp: undefined }, 'lacks a good "exp"'],
    ['one of an unknown age', { iat: undefined }, 'lacks a good "iat"'],
    ['one for another audience', { aud: 'burrow-admin' }, 'is meant for another audience'],
    ['one for none', { aud: undefined }, 'is meant for another audience'],
    ['one of another issuer', { iss: 'somebody' }, 'is not issued by its own key'],
    ['one of no time', { iat: 1e300 }, 'it was issued at no time at all'],
    ['one whose models are none', { models: 'all' }, '"models" of this backend token are no list'],
    ['one whose models are no names', { models: [1] }, '"models" of this backend token are no'],
  ])('%s', async (_, claims, message) => {
    const refused = check(await forge(claims))
    await expect(refused).rejects.toThrow(LoginRefused)
    await expect(refused).rejects.toThrow(message)
  })
})

describe('turned down without a reason, as from a stranger:', () => {
  test('one of an unknown or a revoked backend', async () => {
    await expect(check(await mint(), null)).rejects.toThrow(unknown)
  })

  test('one that is signed by another key', async () => {
    await expect(check(await forge({}, {}, otherKey.privateKey))).rejects.toThrow(unknown)
  })

  test('one whose key is its own, and not enrolled', async () => {
    const token = forge(
      { iss: otherKey.publicKey },
      { kid: otherKey.publicKey },
      otherKey.privateKey,
    )
    await expect(check(await token)).rejects.toThrow(unknown)
  })

  test('one that is not signed (alg none)', async () => {
    const claims = { iss: key.publicKey, aud: 'burrow-tunnel', iat: nowSeconds }
    const bare = new UnsecuredJWT({ ...claims, exp: nowSeconds + 600 }).encode()
    const [, payload] = bare.split('.')
    for (const alg of ['none', 'None', 'EdDSA']) {
      const header = base64url.encode(JSON.stringify({ alg, kid: key.publicKey }))
      await expect(check(`${header}.${payload}.`)).rejects.toThrow(unknown)
    }
  })

  test('one signed by HS256 with the public key as the secret', async () => {
    for (const guess of [
      base64url.decode(key.publicKey),
      new TextEncoder().encode(key.publicKey),
    ]) {
      const claims = { iss: key.publicKey, aud: 'burrow-tunnel' }
      const token = await new SignJWT({ ...claims, iat: nowSeconds, exp: nowSeconds + 600 })
        .setProtectedHeader({ alg: 'HS256', kid: key.publicKey })
        .sign(guess)
      await expect(check(token)).rejects.toThrow(unknown)
      const [, payload, signature] = token.split('.')
      const header = base64url.encode(JSON.stringify({ alg: 'EdDSA', kid: key.publicKey }))
      await expect(check(`${header}.${payload}.${signature}`)).rejects.toThrow(unknown)
    }
  })

  test('one that was changed after it was signed', async () => {
    const [header, , signature] = (await forge()).split('.')
    const [, payload] = (await forge({ models: ['more'] })).split('.')
    await expect(check(`${header}.${payload}.${signature}`)).rejects.toThrow(unknown)
  })

  test('one that wants more to be understood (crit)', async () => {
    const [, payload, signature] = (await forge()).split('.')
    const fields = { alg: 'EdDSA', kid: key.publicKey, crit: ['x'], x: 1 }
    const header = base64url.encode(JSON.stringify(fields))
    await expect(check(`${header}.${payload}.${signature}`)).rejects.toThrow(unknown)
  })

  test.each([
    ['nothing', ''],
    ['no token', 'brt_0123456789abcdefghijABCDEFGHIJ012345'],
    ['three dots', '...'],
    ['no JSON', 'e30x.e30.e30'],
    ['a header without a key', `${base64url.encode('{"alg":"EdDSA"}')}.e30.AA`],
    ['a key that is none', `${base64url.encode('{"alg":"EdDSA","kid":"x"}')}.e30.AA`],
  ])('%s', async (_, token) => {
    await expect(check(token)).rejects.toThrow(unknown)
  })

  test('one of more than 4096 characters, before anybody looks for its key', async () => {
    const token = await forge({ padding: 'x'.repeat(4096) })
    const findKey = () => Promise.reject(new Error('looked'))
    await expect(checkBackendToken(token, { findKey, now: () => nowMs })).rejects.toThrow(unknown)
    await expect(checkBackendToken(await forge(), { findKey, now: () => nowMs })).rejects.toThrow(
      'looked',
    )
  })
})

test.each([
  [null, undefined, null],
  [['a', 'b'], undefined, ['a', 'b']],
  [null, ['a'], ['a']],
  [['a', 'b'], ['b', 'c'], ['b']],
  [['a'], [], []],
])('models of the backend %j, of the token %j: it may serve %j', async (models, claim, result) => {
  const token = await forge(claim === undefined ? {} : { models: claim })
  expect((await check(token, { ...box, models })).models).toEqual(result)
})

test('a backend narrows its tokens to what it serves, unless the list is long', async () => {
  expect((await check(await mint({ models: ['tiny'] }))).models).toEqual(['tiny'])
  const many = Array.from({ length: 200 }, (_, i) => `a-rather-long-model-name-${i}`)
  expect((await check(await mint({ models: many }))).models).toBeNull()
})
