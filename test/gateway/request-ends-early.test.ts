import { expect, test } from 'vitest'
import { auth, chat, errorOf, event, hanging, sse, textReader } from './forwarding.ts'
import { connectBackend } from './test-backend.ts'
import { testGateway } from './test-gateway.ts'

test('a client that leaves in mid-stream stops the backend and pays for what was made', async () => {
  const gateway = await testGateway()
  const stream = hanging(event('a'), sse)
  await connectBackend(gateway.url, gateway.token, stream.handler)
  const leaving = new AbortController()
  const { signal } = leaving
  const body = JSON.stringify({ model: 'tiger', stream: true })
  const reader = textReader(
    await gateway.post(chat, null, { body, signal, headers: auth(gateway) }),
  )
  await reader.read()
  leaving.abort()

  await expect(reader.read()).rejects.toThrow()
  await stream.cancelled
  expect(await gateway.usage(1)).toMatchObject([
    {
      status: 200,
      outcome: 'cancelled',
      completion_tokens: 2,
      tokens_source: 'reported',
    },
  ])
})

test('a client that leaves before the head stops the backend as well', async () => {
  const gateway = await testGateway()
  const started = Promise.withResolvers<void>()
  const cancelled = Promise.withResolvers<void>()
  await connectBackend(gateway.url, gateway.token, async (incoming, exchange) => {
    exchange.reportUsage({ promptTokens: 7, completionTokens: 1 })
    started.resolve()
    await new Promise((resolve) => incoming.signal.addEventListener('abort', resolve))
    cancelled.resolve()
    throw new Error('cancelled')
  })
  const leaving = new AbortController()
  const body = JSON.stringify({ model: 'tiger' })
  const answer = gateway.post(chat, null, { body, signal: leaving.signal, headers: auth(gateway) })
  await started.promise
  leaving.abort()

  await expect(answer).rejects.toThrow()
  await cancelled.promise
  expect(await gateway.usage(1)).toMatchObject([
    { status: 499, outcome: 'cancelled', completion_tokens: 1, tokens_source: 'reported' },
  ])
})

test("revoking a key ends its streams at once, and nobody else's", async () => {
  const gateway = await testGateway()
  const stream = hanging(event('a'), sse)
  await connectBackend(gateway.url, gateway.token, stream.handler)
  const other = await gateway.admin.createKey('other')
  const mine = textReader(await gateway.post(chat, { model: 'tiger', stream: true }))
  const headers = { authorization: `Bearer ${other.secret.reveal()}` }
  const theirs = textReader(await gateway.post(chat, { model: 'tiger', stream: true }, { headers }))
  await mine.read()
  await theirs.read()
  await gateway.admin.revokeKey(gateway.keyId)

  expect((await mine.read()).value).toBe(
    'data: {"error":{"message":"This API key has been revoked.","type":"invalid_request_error",' +
      '"param":null,"code":"invalid_api_key"}}\n\n',
  )
  expect((await mine.read()).done).toBe(true)
  await stream.cancelled
  expect(await gateway.usage(1)).toMatchObject([
    { key_id: gateway.keyId, outcome: 'cancelled', completion_tokens: 2 },
  ])
  stream.end('data: [DONE]\n\n')
  expect((await theirs.read()).value).toBe('data: [DONE]\n\n')
  expect((await gateway.post(chat, { model: 'tiger' })).status).toBe(401)
})

test('a revoked key gets its 401 also while the backend has not answered', async () => {
  const gateway = await testGateway()
  const started = Promise.withResolvers<void>()
  await connectBackend(gateway.url, gateway.token, (incoming) => {
    started.resolve()
    return new Promise((_, reject) => {
      incoming.signal.addEventListener('abort', () => reject(new Error('cancelled')))
    })
  })
  const answer = gateway.post(chat, { model: 'tiger' })
  await started.promise
  await gateway.admin.revokeKey(gateway.keyId)

  expect(await errorOf(await answer)).toMatchObject({ status: 401, code: 'invalid_api_key' })
  expect(await gateway.usage(1)).toMatchObject([{ status: 401, outcome: 'cancelled' }])
})
