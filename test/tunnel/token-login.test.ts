import { decodeJwt } from 'jose'
import { describe, expect, test } from 'vitest'
import { tokenLogin, type TunnelLogin } from '../../backend/tunnel/login.ts'
import { TokenMint } from '../../backend/tunnel/token.ts'
import { clockSkewMs } from '../../shared/auth/backend-token.ts'
import type { TunnelHandler } from '../../shared/tunnel/exchange.ts'
import { fixedLogin, memoryLog, testRequest, until } from '../support/tunnel-pair.ts'
import { dialFor, gatewayFor, ok, relayTo } from './for-one-test.ts'
import { enrolledGateway } from './enrolled.ts'

const mintOf = (enrolmentSecret: string, aheadMs = 0): TokenMint =>
  new TokenMint({ enrolmentSecret, now: () => Date.now() + aheadMs })

/** Presents `first`, and then every 30 ms what `next` makes. */
const renewing = (first: string, next: () => Promise<string>): TunnelLogin => ({
  ...fixedLogin(first),
  renewal: { everyMs: 30, token: next },
})

/** Streams a letter every 20 ms until it is cancelled, or `end` is called. */
const endless = () => {
  let isOver = false
  const handler: TunnelHandler = async (request) =>
    new Response(
      new ReadableStream({
        async pull(controller) {
          await new Promise((resolve) => setTimeout(resolve, 20))
          if (isOver || request.signal.aborted) controller.close()
          else controller.enqueue(new TextEncoder().encode('a'))
        },
      }),
    )
  return { handler, end: () => (isOver = true) }
}

/** A clock that can be put forward, until `token` has so many ms to live. */
const settableClock = () => {
  const clock = {
    aheadMs: 0,
    now: () => Date.now() + clock.aheadMs,
    leave: (token: string, ms: number) => {
      const { exp = 0 } = decodeJwt(token)
      clock.aheadMs = exp * 1000 + clockSkewMs - Date.now() - ms
    },
  }
  return clock
}

describe('a backend with an enrolment secret', () => {
  test('is let in as itself, and again after the connection is lost', async () => {
    const gateway = await enrolledGateway()
    const { backend, token } = await gateway.admin.enrollBackend('box')
    const { relay, url } = await relayTo(gateway)
    const login = tokenLogin(mintOf(token.reveal()))
    await dialFor({ url, login, handler: ok }).connected

    for (let i = 0; i < 2; i++) {
      const [connected] = gateway.registry.backends()
      expect(connected).toMatchObject({ backendId: backend.id, name: 'box' })
      relay.cut()
      await until(() => gateway.registry.backends()[0] !== connected, 'the gateway knows')
      await until(() => gateway.registry.backends().length === 1, 'it is back')
    }
  })

  test('is told when nobody enrolled it, and when it was revoked', async () => {
    const gateway = await enrolledGateway()
    const { backend, token } = await gateway.admin.enrollBackend('box')
    await gateway.admin.revokeBackend(backend.id)
    for (const secret of [token.reveal(), `brt_${'0'.repeat(36)}`]) {
      const log = memoryLog()
      dialFor({ url: gateway.url, login: tokenLogin(mintOf(secret)), handler: ok, log })
      await until(() => log.lines.length > 0, 'it has tried')
      expect(log.lines[0]).toContain('This gateway does not know this backend token.')
      expect(log.lines[0]).toContain('retryInMs=60000')
    }
    expect(gateway.registry.backends()).toEqual([])
  })

  test('whose clock is wrong is told both times', async () => {
    const gateway = await enrolledGateway()
    const { token } = await gateway.admin.enrollBackend('box')
    for (const [aheadMs, message] of [
      [-3_600_000, 'This backend token has expired: it was issued at 20'],
      [+3_600_000, 'This backend token is not valid yet: it was issued at 20'],
    ] as const) {
      const log = memoryLog()
      const login = tokenLogin(mintOf(token.reveal(), aheadMs))
      dialFor({ url: gateway.url, login, handler: ok, log })
      await until(() => log.lines.length > 0, 'it has tried')
      expect(log.lines[0]).toContain(message)
      expect(log.lines[0]).toContain('Set the clock.')
    }
  })

  test('registers only models of its enrolment', async () => {
    const gateway = await enrolledGateway()
    const { token } = await gateway.admin.enrollBackend('box', ['tiny', 'large'])
    const dialAs = (models: string[], log = memoryLog()) => {
      const login = tokenLogin(mintOf(token.reveal()))
      return { log, tunnel: dialFor({ url: gateway.url, login, handler: ok, models, log }) }
    }
    const { log } = dialAs(['tiny', 'huge'])
    await until(() => log.lines.length > 0, 'it has tried')
    expect(log.lines[0]).toContain(
      'this backend may not serve \\"huge\\": enroll it with that --model',
    )
    expect(log.lines[0]).toContain('retryInMs=60000')
    expect(gateway.registry.models()).toEqual([])
    await dialAs(['large']).tunnel.connected
    expect(gateway.registry.models()).toEqual(['large'])
  })

  test('registers only models of its token', async () => {
    const gateway = await enrolledGateway()
    const { token } = await gateway.admin.enrollBackend('box')
    const mint = new TokenMint({ enrolmentSecret: token.reveal(), models: ['tiny'] })
    const log = memoryLog()
    const login = tokenLogin(mint)
    dialFor({ url: gateway.url, login, handler: ok, models: ['other'], log })
    await until(() => log.lines.length > 0, 'it has tried')
    expect(log.lines[0]).toContain('this backend may not serve \\"other\\"')
  })

  test('that is revoked while its token is being checked is not let in', async () => {
    let calls = 0
    const gateway = await enrolledGateway({
      wrapLogin: (login, admin) => ({
        hasTunnelKey: false,
        withToken: async (token) => {
          const grant = await login.withToken(token)
          calls++
          await admin.revokeBackend(grant.backendId)
          return grant
        },
        withTunnelKey: (name) => login.withTunnelKey(name),
        isProof: (proof, input) => login.isProof(proof, input),
        isInForce: (grant) => login.isInForce(grant),
      }),
    })
    const { token } = await gateway.admin.enrollBackend('box')
    const log = memoryLog()
    dialFor({ url: gateway.url, login: tokenLogin(mintOf(token.reveal())), handler: ok, log })
    await until(() => log.lines.length > 0, 'it has tried')
    expect(calls).toBe(1)
    expect(log.lines[0]).toContain('the backend was revoked')
    expect(gateway.registry.backends()).toEqual([])
  })

  test('that is revoked loses what runs, and a token it kept is worth nothing', async () => {
    const gateway = await enrolledGateway()
    const { backend, token } = await gateway.admin.enrollBackend('box')
    const kept = await mintOf(token.reveal()).mint()
    const { handler } = endless()
    await dialFor({ url: gateway.url, login: fixedLogin(kept), handler }).connected
    const exchange = gateway.registry.pick('tiny')?.open(testRequest())
    await exchange?.head
    await gateway.admin.revokeBackend(backend.id)

    await expect(new Response(exchange?.body ?? null).text()).rejects.toThrow()
    const log = memoryLog()
    dialFor({ url: gateway.url, login: fixedLogin(kept), handler: ok, log })
    await until(() => log.lines.length > 0, 'it has tried')
    expect(log.lines[0]).toContain('This gateway does not know this backend token.')
  })
})

describe('a token that runs out in the middle of a stream', () => {
  test('ends the connection when no other has come', async () => {
    const clock = settableClock()
    const gateway = await enrolledGateway({ now: clock.now })
    const { token } = await gateway.admin.enrollBackend('box')
    const log = memoryLog()
    const { handler } = endless()
    const only = await mintOf(token.reveal()).mint()
    clock.leave(only, 600)
    await dialFor({ url: gateway.url, login: fixedLogin(only), handler, log }).connected
    const exchange = gateway.registry.pick('tiny')?.open(testRequest())
    await exchange?.head

    await expect(new Response(exchange?.body ?? null).text()).rejects.toThrow('has expired')
    await until(() => log.lines.length === 2, 'the backend knows')
    expect(log.lines[1]).toContain('the backend token has expired')
    expect(gateway.log.lines.join()).toContain('backend turned out')
  })

  test('drops nothing when another has come in time', async () => {
    const clock = settableClock()
    const gateway = await enrolledGateway({ now: clock.now })
    const { token } = await gateway.admin.enrollBackend('box')
    const { handler, end } = endless()
    const first = await mintOf(token.reveal()).mint()
    clock.leave(first, 600)
    const diesAtMs = performance.now() + 650
    const login = renewing(first, () => mintOf(token.reveal(), clock.aheadMs).mint())
    await dialFor({ url: gateway.url, login, handler }).connected
    const [before] = gateway.registry.backends()
    const exchange = before?.open(testRequest())
    await exchange?.head
    await until(() => performance.now() > diesAtMs, 'the first token is void')
    end()

    expect(await new Response(exchange?.body ?? null).text()).toMatch(/^a{5,}$/)
    expect(gateway.registry.backends()).toEqual([before])
  })

  test.each([
    ['that has expired itself', -3_600_000, 'This backend token has expired'],
    ['of the future', 3_600_000, 'This backend token is not valid yet'],
  ])('is not followed by one %s', async (_, aheadMs, reason) => {
    const gateway = await enrolledGateway()
    const { token } = await gateway.admin.enrollBackend('box')
    const log = memoryLog()
    const first = await mintOf(token.reveal()).mint()
    const login = renewing(first, () => mintOf(token.reveal(), aheadMs).mint())
    await dialFor({ url: gateway.url, login, handler: ok, log }).connected
    await until(() => log.lines.length === 2, 'it is turned out')
    expect(log.lines[1]).toContain(reason)
    expect(log.lines[1]).toContain('retryInMs=60000')
  })

  test('is not followed by one of another backend, nor by one for other models', async () => {
    const gateway = await enrolledGateway()
    const { token } = await gateway.admin.enrollBackend('box')
    const other = await gateway.admin.enrollBackend('other')
    const first = () => mintOf(token.reveal()).mint()
    const narrow = new TokenMint({ enrolmentSecret: token.reveal(), models: ['other'] })
    for (const [next, reason] of [
      [mintOf(other.token.reveal()), 'the new token is of another backend'],
      [narrow, 'this backend may not serve \\"tiny\\"'],
    ] as const) {
      const log = memoryLog()
      const login = renewing(await first(), () => next.mint())
      await dialFor({ url: gateway.url, login, handler: ok, log }).connected
      await until(() => log.lines.length === 2, 'it is turned out')
      expect(log.lines[1]).toContain(reason)
    }
  })

  test('outlives a database that cannot be asked for a while', async () => {
    let isBroken = false
    let numChecks = 0
    const gateway = await enrolledGateway({
      wrapLogin: (login) => ({
        hasTunnelKey: false,
        withToken: async (token) => {
          numChecks++
          if (isBroken) throw new Error('database is locked')
          return login.withToken(token)
        },
        withTunnelKey: (name) => login.withTunnelKey(name),
        isProof: (proof, input) => login.isProof(proof, input),
        isInForce: (grant) => login.isInForce(grant),
      }),
    })
    const { token } = await gateway.admin.enrollBackend('box')
    const mint = mintOf(token.reveal())
    const login = renewing(await mint.mint(), () => mint.mint())
    await dialFor({ url: gateway.url, login, handler: ok }).connected
    isBroken = true
    await until(() => gateway.log.lines.join().includes('database is locked'), 'it has failed')
    isBroken = false
    const before = numChecks
    await until(() => numChecks > before, 'the next token is checked')
    expect(gateway.registry.backends()).toHaveLength(1)
  })
})

test('a backend sends fresh tokens at half of their life', async () => {
  const tokens: string[] = []
  const gateway = await gatewayFor(undefined, {
    authenticate: async (token) => {
      tokens.push(token)
      return { backendId: 'a', name: 'a' }
    },
  })
  const mint = new TokenMint({ enrolmentSecret: 'secret', lifetimeMs: 100 })
  await dialFor({ url: gateway.url, login: tokenLogin(mint), handler: ok }).connected
  await until(() => tokens.length === 4, 'three more have come')

  expect(new Set(tokens).size).toBe(4)
  expect(tokenLogin(new TokenMint({ enrolmentSecret: 'secret' })).renewal?.everyMs).toBe(300_000)
})

test('neither side logs a secret or a token', async () => {
  const gateway = await enrolledGateway()
  const { token } = await gateway.admin.enrollBackend('box')
  const log = memoryLog()
  const tokens: string[] = []
  const note = (made: string) => (tokens.push(made), made)
  const mint = mintOf(token.reveal())
  const late = mintOf(token.reveal(), -3_600_000)
  const login: TunnelLogin = {
    headers: async () => ({ authorization: `Bearer ${note(await mint.mint())}` }),
    renewal: { everyMs: 30, token: async () => note(await late.mint()) },
  }
  dialFor({ url: gateway.url, login, handler: ok, log })
  await until(() => log.lines.length === 2, 'it is turned out')

  const all = [...log.lines, ...gateway.log.lines].join('\n')
  expect(tokens.length).toBeGreaterThan(1)
  for (const secret of [token.reveal(), ...tokens, ...tokens.map((t) => t.split('.')[2] ?? '')]) {
    expect(all).not.toContain(secret)
  }
})
