import { request, type ClientRequest } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { chat, errorOf, event, hanging, sse, textReader } from '../gateway/forwarding.ts'
import { eventually } from '../support/eventually.ts'
import { runBurrow, runJson } from '../support/burrow-process.ts'
import { testAdminToken } from '../support/worker-secrets.ts'
import { WorkerGateway } from './worker-gateway.ts'

let gateway: WorkerGateway
let key: string

beforeAll(async () => {
  gateway = await WorkerGateway.start()
  key = (await gateway.admin.createKey('e2e')).secret.reveal()
})
afterAll(() => gateway.close())

const comment = ': keep-alive\n\n'

/** The next chunk that is no comment. */
const nextEvent = async (reader: ReturnType<typeof textReader>): Promise<string | undefined> => {
  for (;;) {
    const { value } = await reader.read()
    if (value !== comment) return value
  }
}

/** A client that goes away as programs do: its socket is closed, and nobody reads what still comes. */
const leavingClient = (model: string): ClientRequest => {
  const outgoing = request(new URL(chat, gateway.url), {
    method: 'POST',
    agent: false,
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
  })
  outgoing.on('error', () => {})
  outgoing.end(JSON.stringify({ model, stream: true }))
  return outgoing
}

test('a stream passes event by event, and its tokens go into the books', async () => {
  const stream = hanging(event('a'), sse)
  await gateway.backend('passes', stream.handler)
  const response = await gateway.chat(key, { model: 'passes', stream: true })
  const reader = textReader(response)
  expect(await nextEvent(reader)).toBe(event('a'))
  stream.end('data: [DONE]\n\n')
  expect(await nextEvent(reader)).toBe('data: [DONE]\n\n')
  expect(await nextEvent(reader)).toBeUndefined()
  const requestId = response.headers.get('x-request-id')
  const usage = await eventually(async () => (await gateway.usage('passes'))[0])
  expect(usage).toMatchObject({
    request_id: requestId,
    outcome: 'completed',
    completion_tokens: 2,
    tokens_source: 'reported',
  })
})

describe('a client that leaves', () => {
  test('in a stream that runs stops the backend', async () => {
    const cancelled = Promise.withResolvers<void>()
    let timer: NodeJS.Timeout
    await gateway.backend('running', async ({ signal }, exchange) => {
      exchange.reportUsage({ promptTokens: 7, completionTokens: 5 })
      signal.addEventListener('abort', () => cancelled.resolve())
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          timer = setInterval(() => controller.enqueue(new TextEncoder().encode(event('x'))), 10)
        },
        cancel: () => clearInterval(timer),
      })
      return new Response(body, { headers: { 'content-type': sse } })
    })
    const client = leavingClient('running')
    client.on('response', (response) => response.once('data', () => client.destroy()))
    await cancelled.promise
    const usage = await eventually(async () => (await gateway.usage('running'))[0])
    expect(usage).toMatchObject({ outcome: 'cancelled', completion_tokens: 5 })
  })

  test('in a stream that is silent stops the backend', async () => {
    const stream = hanging(event('a'), sse)
    await gateway.backend('silent', stream.handler)
    const client = leavingClient('silent')
    client.on('response', (response) => response.once('data', () => client.destroy()))
    await stream.cancelled
    const usage = await eventually(async () => (await gateway.usage('silent'))[0])
    expect(usage).toMatchObject({ outcome: 'cancelled', completion_tokens: 2 })
  })

  test('while the backend computes its first token stops it', async () => {
    const cancelled = Promise.withResolvers<void>()
    await gateway.backend('thinking', ({ signal }) => {
      signal.addEventListener('abort', () => cancelled.resolve())
      return new Promise(() => {})
    })
    const client = leavingClient('thinking')
    client.on('response', () => client.destroy())
    await cancelled.promise
  })

  test('before there is a head stops it as well', async () => {
    const started = Promise.withResolvers<void>()
    const cancelled = Promise.withResolvers<void>()
    await gateway.backend('waiting', ({ signal }) => {
      started.resolve()
      signal.addEventListener('abort', () => cancelled.resolve())
      return new Promise(() => {})
    })
    const client = leavingClient('waiting')
    await started.promise
    client.destroy()
    await cancelled.promise
  })
})

test('a hub that slept goes on with the same connection', async () => {
  let numAnswers = 0
  const tunnel = await gateway.backend('sleeper', async () => new Response(`${++numAnswers}`))
  let hasEnded = false
  void tunnel.ended.then(() => (hasEnded = true))
  const ask = async () => (await gateway.chat(key, { model: 'sleeper' })).text()
  expect(await ask()).toBe('1')
  await gateway.fallAsleep()
  expect(await ask()).toBe('2')
  expect(hasEnded).toBe(false)
})

test('a revoked key ends its streams within a second', async () => {
  const stream = hanging(event('a'), sse)
  await gateway.backend('revoked', stream.handler)
  const mine = await gateway.admin.createKey('mine')
  const body = { model: 'revoked', stream: true }
  const reader = textReader(await gateway.chat(mine.secret.reveal(), body))
  await nextEvent(reader)
  const before = performance.now()
  await gateway.admin.revokeKey(mine.key.id)
  expect(await nextEvent(reader)).toContain('This API key has been revoked.')
  expect(performance.now() - before).toBeLessThan(1_000)
  await stream.cancelled
  const refused = await gateway.chat(mine.secret.reveal(), body)
  expect(await errorOf(refused)).toMatchObject({ status: 401, code: 'invalid_api_key' })
})

test('the command line administers it', async () => {
  const args = ['--gateway', gateway.url.origin]
  const env = { BURROW_ADMIN_TOKEN: testAdminToken }
  const made = await runJson(['keys', 'create', '--name', 'cli', ...args], env)
  expect(made).toMatchObject({ name: 'cli', key: expect.stringMatching(/^brw_/) })
  const { stdout } = await runBurrow(['keys', 'revoke', made.id, ...args], env)
  expect(stdout).toContain('is revoked')
  const wrong = await runBurrow(['backends', 'list', ...args], { BURROW_ADMIN_TOKEN: 'x' })
  expect(wrong).toMatchObject({ code: 1, stderr: expect.stringContaining('not the admin token') })
})
