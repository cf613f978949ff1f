import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { ActiveRequests } from '../../gateway/active-requests.ts'
import { createApp } from '../../gateway/app.ts'
import { openPepper } from '../../gateway/auth/pepper.ts'
import { Credential } from '../../gateway/auth/credential.ts'
import { DatabaseAdmin } from '../../gateway/control/database-admin.ts'
import { openDatabase } from '../../gateway/db/open.ts'
import type { ConnectedBackend } from '../../gateway/tunnel/backend-connection.ts'
import { lineLog } from '../../shared/log.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { expectedModelCard } from '../support/model-card.ts'

const backend = (name: string, models: string[], connectedAtMs: number): ConnectedBackend => ({
  backendId: `be_${name}`,
  name,
  models,
  connectedAtMs,
  openStreams: 0,
  acknowledgeUsage: () => {},
  open: () => {
    throw new Error('Bearer brw_secret must not be seen')
  },
})

const testApp = async (backends: ConnectedBackend[] = []) => {
  const home = tempFolder()
  const pepper = await openPepper(join(home, 'pepper'))
  const { db, close } = await openDatabase(join(home, 'burrow.db'))
  onTestFinished(close)
  const logged: string[] = []
  const state = { isDraining: false }
  const app = createApp({
    db,
    pepper,
    registry: {
      backends: () => backends,
      pick: (model) => backends.find(({ models }) => models.includes(model)) ?? null,
      serves: (model) => backends.some(({ models }) => models.includes(model)),
    },
    active: new ActiveRequests(),
    log: lineLog((line) => logged.push(line)),
    now: Date.now,
    isDraining: () => state.isDraining,
  })
  const admin = new DatabaseAdmin({
    db,
    pepper,
    now: Date.now,
    gateway: null,
    linkOf: () => null,
    onClose: () => {},
  })
  const { key, secret } = await admin.createKey('test')
  const authorization = `Bearer ${secret.reveal()}`
  return { app, admin, key, secret, headers: { authorization }, logged, state }
}

const summary = async (response: Response) => ({
  status: response.status,
  requestId: response.headers.get('x-request-id'),
  body: await response.json(),
})

const requestId = expect.stringMatching(/^req_[0-9A-Za-z]{20}$/)

test('health is public and tells how many backends are there', async () => {
  const { app } = await testApp([backend('a', [], 1), backend('b', [], 2)])

  expect(await summary(await app.request('/health'))).toEqual({
    status: 200,
    requestId,
    body: { status: 'ok', backends: 2 },
  })
})

test('a request without a key is told how to send one', async () => {
  const { app } = await testApp()
  const response = await app.request('/v1/models')

  expect(response.headers.get('www-authenticate')).toBe('Bearer')
  expect(await summary(response)).toEqual({
    status: 401,
    requestId,
    body: {
      error: {
        message: expect.stringMatching(/^You didn't provide an API key\. .*Authorization header/),
        type: 'invalid_request_error',
        param: null,
        code: 'invalid_api_key',
      },
    },
  })
})

test('malformed, unknown, revoked and foreign keys are told apart by nothing', async () => {
  const { app, admin, key, secret } = await testApp()
  await admin.revokeKey(key.id)
  const { token } = await admin.enrollBackend('gpu')
  const secrets = [
    'sk-abc',
    'brw_abc',
    Credential.generate('apiKey').reveal(),
    secret.reveal(),
    token.reveal(),
  ]
  const answers = await Promise.all(
    secrets.map(async (text) => {
      const response = await app.request('/v1/models', {
        headers: { authorization: `Bearer ${text}` },
      })
      const headers = Object.fromEntries(response.headers)
      const body = await response.text()
      expect(body).not.toContain(text)
      return { status: response.status, ...headers, 'x-request-id': '', body }
    }),
  )

  expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1)
  expect(answers[0]).toMatchObject({ status: 401, 'www-authenticate': 'Bearer' })
  expect(answers[0]?.body).toContain('Incorrect API key provided')
})

test('the models of all backends are listed once each, as vLLM does', async () => {
  const { app, headers } = await testApp([
    backend('a', ['tiger', 'org/lion'], 5_000),
    backend('b', ['tiger'], 3_999),
  ])
  const response = await app.request('/v1/models', { headers })
  expect(await summary(response)).toEqual({
    status: 200,
    requestId,
    body: {
      object: 'list',
      data: [expectedModelCard('org/lion', 5), expectedModelCard('tiger', 3)],
    },
  })
  for (const path of ['/v1/models/org/lion', '/v1/models/org%2Flion']) {
    expect((await summary(await app.request(path, { headers }))).body).toEqual(
      expectedModelCard('org/lion', 5),
    )
  }
  expect(await summary(await app.request('/v1/models/nobody', { headers }))).toMatchObject({
    status: 404,
    body: { error: { code: 'model_not_found' } },
  })
})

test('only the listed routes exist, and by their own methods', async () => {
  const { app, headers } = await testApp([backend('a', ['tiger'], 1)])
  const ask = async (method: string, path: string) => {
    const response = await app.request(path, { method, headers })
    const code = /"code":"(\w+)"/.exec(await response.text())?.[1]
    expect(response.headers.get('x-request-id')).toEqual(requestId)
    return [response.status, response.headers.get('allow'), code]
  }

  expect({
    root: await ask('GET', '/'),
    embeddings: await ask('POST', '/v1/embeddings'),
    engine: await ask('GET', '/metrics'),
    traversal: await ask('POST', '/v1/chat/completions/../../health2'),
    slash: await ask('POST', '/v1/chat/completions/'),
    getChat: await ask('GET', '/v1/chat/completions'),
    postModels: await ask('POST', '/v1/models'),
    deleteModel: await ask('DELETE', '/v1/models/tiger'),
    postHealth: await ask('POST', '/health'),
    headHealth: await ask('HEAD', '/health'),
  }).toEqual({
    root: [404, null, undefined],
    embeddings: [404, null, undefined],
    engine: [404, null, undefined],
    traversal: [404, null, undefined],
    slash: [404, null, undefined],
    getChat: [405, 'POST', 'method_not_supported'],
    postModels: [405, 'GET, HEAD', 'method_not_supported'],
    deleteModel: [405, 'GET, HEAD', 'method_not_supported'],
    postHealth: [405, 'GET, HEAD', 'method_not_supported'],
    headHealth: [200, null, undefined],
  })
})

test('an error that nobody foresaw is a 500 without details, which are in the log', async () => {
  const { app, headers, logged } = await testApp([backend('a', ['tiger'], 1)])
  const response = await app.request('/v1/completions', {
    method: 'POST',
    headers,
    body: '{"model":"tiger"}',
  })

  expect(await summary(response)).toEqual({
    status: 500,
    requestId,
    body: {
      error: {
        message: 'The server had an error while processing your request.',
        type: 'server_error',
        param: null,
        code: null,
      },
    },
  })
  expect(logged.join()).toContain(
    `error request failed request=${response.headers.get('x-request-id')}`,
  )
})

test("the client's own request id is never taken for ours", async () => {
  const { app } = await testApp()
  const theirs = `req_${'0'.repeat(20)}`
  const response = await app.request('/health', { headers: { 'x-request-id': theirs } })

  expect(response.headers.get('x-request-id')).not.toBe(theirs)
  expect(response.headers.get('x-request-id')).toEqual(requestId)
})

test('a draining gateway refuses what is new and closes the connection', async () => {
  const { app, headers, state } = await testApp()
  state.isDraining = true
  const response = await app.request('/v1/models', { headers })

  expect([response.headers.get('connection'), response.headers.get('retry-after')]).toEqual([
    'close',
    '5',
  ])
  expect(await summary(response)).toMatchObject({
    status: 503,
    requestId,
    body: { error: { code: 'gateway_draining' } },
  })
})
