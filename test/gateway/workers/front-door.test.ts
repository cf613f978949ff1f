import { env } from 'cloudflare:workers'
import { describe, expect, it } from 'vitest'
import { createFrontDoor } from '../../../gateway/workers/front-door.ts'
import type { ErrorBody } from '../../../shared/openai/error.ts'
import type { Bindings } from '../../../gateway/workers/bindings.ts'
import { administer, ask, enroll, testKey, tokenOf, upgrade } from './test-worker.ts'
import { testAdminToken } from '../../support/worker-secrets.ts'

/** A hub that answers every request with this. */
const hubThat = (fetch: (request: Request) => Promise<Response>): Bindings['HUB'] =>
  Object.assign(Object.create(env.HUB), { getByName: () => ({ fetch }) })

const untouched = hubThat(async () => {
  throw new Error('the hub was asked')
})

/** A request to a front door with other bindings. */
const askWith = (bindings: Partial<Bindings>, path: string, init?: RequestInit) =>
  createFrontDoor().request(`https://gateway.example${path}`, init, { ...env, ...bindings })

const shown = async (response: Response) => {
  const { error } = await response.json<ErrorBody>()
  return [response.status, error.code, error.message]
}

const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } })

describe('the front door', () => {
  it('turns strangers away without waking the hub', async () => {
    const incorrect = expect.stringContaining('Incorrect API key')
    const asked = (path: string, init?: RequestInit) => askWith({ HUB: untouched }, path, init)
    expect(await shown(await asked('/wp-admin'))).toEqual([
      404,
      null,
      'Invalid URL (GET /wp-admin)',
    ])
    expect((await asked('/v1/models')).status).toBe(401)
    expect(await shown(await asked('/v1/models', bearer('brw_1')))).toEqual([
      401,
      'invalid_api_key',
      incorrect,
    ])
    expect((await asked('/admin/keys', bearer('x'.repeat(40)))).status).toBe(401)
    expect((await asked('/tunnel')).status).toBe(426)
    const response = await asked('/tunnel', {
      headers: { upgrade: 'websocket', 'sec-websocket-protocol': 'burrow.1, other' },
    })
    expect(await shown(response)).toEqual([401, 'invalid_backend_token', expect.any(String)])
    expect(response.headers.get('x-request-id')).toMatch(/^req_/)
  })

  it('says that the hub is overloaded, and sends nothing again', async () => {
    const { secret } = await testKey()
    let numCalls = 0
    const overloaded = hubThat(async () => {
      numCalls++
      throw Object.assign(new Error('too many requests'), { overloaded: true })
    })
    const response = await askWith({ HUB: overloaded }, '/v1/models', bearer(secret))
    expect([numCalls, response.headers.get('retry-after')]).toEqual([1, '1'])
    expect(await shown(response)).toEqual([503, 'server_is_overloaded', expect.any(String)])
  })

  it('says what is not configured', async () => {
    const asked = async (bindings: Partial<Bindings>, path: string) =>
      shown(await askWith({ HUB: untouched, ...bindings }, path, bearer('x'.repeat(40))))
    expect(await asked({ BURROW_PEPPER: 'abc' }, '/health')).toEqual([
      503,
      'not_configured',
      expect.stringContaining('BURROW_PEPPER must be 64 hex digits'),
    ])
    expect(await asked({ BURROW_ADMIN_TOKEN: 'short' }, '/admin/keys')).toEqual([
      503,
      'not_configured',
      expect.stringContaining('at least 32 characters'),
    ])
  })
})

describe('the admin API', () => {
  it('is not there without its secret', async () => {
    const none = { HUB: untouched, BURROW_ADMIN_TOKEN: '' }
    expect((await askWith(none, '/admin/keys', bearer(testAdminToken))).status).toBe(404)
  })

  it('opens for its token only', async () => {
    await testKey()
    const statusOf = async (path: string, init?: RequestInit) => (await ask(path, init)).status
    expect(await statusOf('/admin/keys')).toBe(401)
    expect(await statusOf('/admin/keys', bearer(`${testAdminToken}x`))).toBe(401)
    expect(await statusOf('/admin/keys', bearer(testAdminToken))).toBe(200)
    expect(await statusOf('/%61dmin/keys')).toBe(401)
    expect(await statusOf('//admin/keys')).toBe(404)
    expect(await statusOf('/v1/../admin/keys')).toBe(401)
  })

  it('is not reached by a client that says it came that way', async () => {
    const { secret } = await testKey()
    const headers = { authorization: `Bearer ${secret}`, 'x-burrow-door': 'admin' }
    const response = await ask('/v1/models', { headers })
    expect(await response.json()).toMatchObject({ object: 'list' })
  })

  it('creates, lists and revokes as the control socket does', async () => {
    const { id, secret } = await testKey()
    const keys = await administer<{ id: string }[]>('GET', '/keys')
    expect(keys.find((key) => key.id === id)).toMatchObject({ name: 'test', revokedAt: null })
    expect((await ask('/v1/models', bearer(secret))).status).toBe(200)
    await administer('DELETE', `/keys/${id}`)
    expect((await ask('/v1/models', bearer(secret))).status).toBe(401)
    await expect(administer('DELETE', '/keys/key_none')).rejects.toThrow('there is no API key')
  })
})

describe('a backend', () => {
  it('is let in with its token, and not once it is revoked', async () => {
    const { id, secret } = await enroll('front')
    const token = await tokenOf(secret)
    const { status, webSocket, headers } = await upgrade(token)
    expect([status, headers.get('sec-websocket-protocol')]).toEqual([101, 'burrow.1'])
    webSocket?.accept()
    webSocket?.close(1000)
    await administer('DELETE', `/backends/${id}`)
    expect((await upgrade(token)).status).toBe(401)
  })
})
