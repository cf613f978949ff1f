import { connect } from 'node:net'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { dial } from '../../../backend/tunnel/dial.ts'
import { tokenLogin } from '../../../backend/tunnel/login.ts'
import { TokenMint } from '../../../backend/tunnel/token.ts'
import { UsageJournal } from '../../../backend/tunnel/usage-journal.ts'
import type { Admin } from '../../../gateway/control/admin.ts'
import { DatabaseAdmin } from '../../../gateway/control/database-admin.ts'
import { openAdmin } from '../../../gateway/control/open-admin.ts'
import { RemoteAdmin } from '../../../gateway/control/remote-admin.ts'
import { startGateway } from '../../../gateway/node.ts'
import { lineLog } from '../../../shared/log.ts'
import { eventually } from '../../support/eventually.ts'
import { silentLog } from '../../support/silent-log.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { connectBackend } from '../test-backend.ts'
import { testGateway } from '../test-gateway.ts'

const opened = async (home: string): Promise<Admin> => {
  const admin = await openAdmin(home)
  onTestFinished(() => admin.close())
  return admin
}

const running = async () => {
  const home = tempFolder()
  const logged: string[] = []
  const log = lineLog((line) => logged.push(line))
  const gateway = await startGateway({ host: '127.0.0.1', port: 0, home }, { log })
  onTestFinished(() => gateway.close())
  const admin = await opened(home)
  expect(admin).toBeInstanceOf(RemoteAdmin)
  return { admin, logged }
}

const stopped = async () => {
  const admin = await opened(tempFolder())
  expect(admin).toBeInstanceOf(DatabaseAdmin)
  return { admin, logged: [] }
}

describe.each([
  ['a running gateway', running],
  ['a stopped one', stopped],
])('the administration of %s', (_, start) => {
  test('creates, lists and revokes keys, and tells a secret once', async () => {
    const { admin, logged } = await start()
    const { key, secret } = await admin.createKey('Alice 的 key')

    expect(key).toEqual({
      id: expect.stringMatching(/^key_/),
      name: 'Alice 的 key',
      hint: secret.reveal().slice(-4),
      createdAt: expect.any(Number),
      revokedAt: null,
    })
    expect(await admin.listKeys()).toEqual([key])
    const revoked = await admin.revokeKey(key.id)
    expect(revoked).toEqual({ ...key, revokedAt: expect.any(Number) })
    expect(await admin.revokeKey(key.id)).toEqual(revoked)
    expect(await admin.listKeys()).toEqual([revoked])
    expect(JSON.stringify([await admin.listKeys(), logged])).not.toContain(secret.reveal())
  })

  test('enrolls, lists and revokes backends, one in use per name', async () => {
    const { admin } = await start()
    const { backend, token } = await admin.enrollBackend('gpu')

    expect(backend).toEqual({
      id: expect.stringMatching(/^be_/),
      name: 'gpu',
      hint: token.reveal().slice(-4),
      createdAt: expect.any(Number),
      revokedAt: null,
      login: 'secret',
      draining: false,
      scope: null,
      connected: false,
      models: [],
      health: null,
    })
    await expect(admin.enrollBackend('gpu')).rejects.toThrow('a backend named gpu already')
    await admin.revokeBackend(backend.id)
    const again = await admin.enrollBackend('gpu')
    expect(
      (await admin.listBackends()).map(({ id, revokedAt }) => [id, revokedAt === null]),
    ).toEqual([
      [backend.id, false],
      [again.backend.id, true],
    ])
  })

  test('keeps of an enrolment its models and no secret', async () => {
    const { admin, logged } = await start()
    const { backend, token } = await admin.enrollBackend('gpu', ['tiger', 'lion', 'tiger'])

    expect(backend.scope).toEqual(['tiger', 'lion'])
    expect(await admin.listBackends()).toEqual([backend])
    expect(JSON.stringify([await admin.listBackends(), logged])).not.toContain(token.reveal())
    expect(token.reveal()).toMatch(/^brt_\w{36}$/)
    const many = Array.from({ length: 257 }, (_, i) => `model-${i}`)
    for (const models of [[], [''], ['a b'], ['x'.repeat(257)], many]) {
      await expect(admin.enrollBackend('other', models)).rejects.toThrow(
        '--model takes a served model name of visible ASCII characters, up to 256 times',
      )
    }
  })

  test('grants, lists and revokes visits of services', async () => {
    const { admin, logged } = await start()
    const wish = { service: 'notebook', name: 'Alice', lifetimeMs: 60_000 }
    const { grant, secret, link } = await admin.grants.createGrant(wish)
    expect(link).toBe(null)
    expect(await admin.grants.listGrants()).toEqual([grant])
    const revoked = await admin.grants.revokeGrant(grant.id)
    expect(revoked).toEqual({ ...grant, revokedAt: expect.any(Number) })
    expect(await admin.grants.listGrants()).toEqual([revoked])
    expect(JSON.stringify([revoked, logged])).not.toContain(secret.reveal())
    await expect(admin.grants.revokeGrant('grant_none')).rejects.toThrow('`services list`')
    await expect(admin.grants.createGrant({ ...wish, service: 'a_b' })).rejects.toThrow('1 to 63')
  })

  test('says what is wrong with a request', async () => {
    const { admin } = await start()

    await expect(admin.revokeKey('key_x/../y')).rejects.toThrow('there is no API key key_x/../y')
    await expect(admin.revokeBackend('be_1')).rejects.toThrow('there is no backend be_1')
    for (const name of ['', ' a', 'a ', 'a\nb', 'x'.repeat(65), '\u001b[31m']) {
      await expect(admin.createKey(name)).rejects.toThrow('a name has 1 to 64 printable characters')
      await expect(admin.enrollBackend(name)).rejects.toThrow('a name has 1 to 64 printable')
    }
    expect([...(await admin.listKeys()), ...(await admin.listBackends())]).toEqual([])
  })
})

test('the list shows connected backends with their models and what they say of themselves', async () => {
  const gateway = await testGateway()
  const admin = await opened(gateway.home)
  const { token } = await admin.enrollBackend('silent')
  await connectBackend(
    gateway.url,
    gateway.token,
    async (request) => Response.json({ running: 2, path: new URL(request.url).pathname }),
    { models: ['tiger', 'lion'] },
  )
  await connectBackend(gateway.url, token, async () => new Response('<html>'))

  expect(await admin.listBackends()).toMatchObject([
    {
      name: 'gpu',
      connected: true,
      models: ['tiger', 'lion'],
      health: { running: 2, path: '/health' },
    },
    { name: 'silent', connected: true, models: ['tiger'], health: null },
  ])
})

test("asking for a backend's health leaves nothing in its journal", async () => {
  const gateway = await testGateway()
  const admin = await opened(gateway.home)
  const journal = new UsageJournal(tempFolder(), { log: silentLog })
  onTestFinished(() => journal.close())
  const url = `${gateway.url.replace('http', 'ws')}/tunnel`
  const tunnel = dial({
    url,
    login: tokenLogin(new TokenMint({ enrolmentSecret: gateway.token.reveal() })),
    models: ['tiger'],
    handler: async () => Response.json({ running: 0 }),
    journal,
    log: silentLog,
  })
  onTestFinished(() => tunnel.close(0))
  await tunnel.connected
  expect(await admin.listBackends()).toMatchObject([{ health: { running: 0 } }])
  await eventually(() => journal.oldest(url, 1).length === 0)
})

test('a backend that does not tell its health holds the list up only shortly', async () => {
  const gateway = await testGateway()
  const cancelled = Promise.withResolvers<void>()
  await connectBackend(gateway.url, gateway.token, (request) => {
    request.signal.addEventListener('abort', () => cancelled.resolve())
    return new Promise(() => {})
  })
  const before = performance.now()

  expect(await gateway.admin.listBackends()).toMatchObject([{ connected: true, health: null }])
  expect(performance.now() - before).toBeLessThan(2500)
  await cancelled.promise
})

test('a revoked backend is cut off within a second, and not let in again', async () => {
  const gateway = await testGateway()
  const admin = await opened(gateway.home)
  const backend = await connectBackend(gateway.url, gateway.token, async () => new Response())
  const before = performance.now()
  await admin.revokeBackend(gateway.backendId)

  expect(await backend.closed).toMatchObject({ code: 4001 })
  expect(performance.now() - before).toBeLessThan(1000)
  await expect(
    connectBackend(gateway.url, gateway.token, async () => new Response()),
  ).rejects.toThrow('401')
})

test('a key revoked over the control socket is out at once', async () => {
  const gateway = await testGateway()
  const admin = await opened(gateway.home)
  const models = () =>
    fetch(`${gateway.url}/v1/models`, {
      headers: { authorization: `Bearer ${gateway.key.reveal()}` },
    })

  expect((await models()).status).toBe(200)
  await admin.revokeKey(gateway.keyId)
  expect((await models()).status).toBe(401)
})

test('the first key is made once, and never again even when it was revoked', async () => {
  const { admin } = await testGateway()
  expect(await admin.ensureFirstKey()).toBeNull()

  const home = tempFolder()
  const options = { host: '127.0.0.1', port: 0, home }
  const first = await startGateway(options, { log: silentLog })
  onTestFinished(() => first.close())
  const secret = await first.admin.ensureFirstKey()
  const [key] = await first.admin.listKeys()
  expect(key).toMatchObject({ name: 'default', hint: secret?.hint })
  await first.admin.revokeKey(key?.id ?? '')
  expect(await first.admin.ensureFirstKey()).toBeNull()
})

test('a renewed enrolment keeps the backend and voids the secret before', async () => {
  const gateway = await testGateway()
  const first = await gateway.admin.renewEnrolment('local')
  const old = await connectBackend(gateway.url, first.token, async () => new Response())
  const second = await gateway.admin.renewEnrolment('local')

  expect(second.backend.id).toBe(first.backend.id)
  expect(await old.closed).toMatchObject({ code: 4001 })
  await expect(
    connectBackend(gateway.url, first.token, async () => new Response()),
  ).rejects.toThrow('401')
  await connectBackend(gateway.url, second.token, async () => new Response())
})

test('the control socket is its owner’s, and hands no secrets to a wrong request', async () => {
  const gateway = await testGateway()
  const path = join(gateway.home, 'control.sock')

  expect((await stat(path)).mode & 0o777).toBe(0o600)
  const answer = await new Promise<string>((resolve, reject) => {
    let text = ''
    const socket = connect(path, () => {
      socket.write(
        'POST /keys HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n[]',
      )
    })
    socket.on('data', (chunk) => (text += chunk))
    socket.on('end', () => resolve(text)).on('error', reject)
  })
  expect(answer).toMatch(/^HTTP\/1.1 400 /)
})
