import { expect, test } from 'vitest'
import { chat, errorOf, event, hanging, sse, textReader } from './forwarding.ts'
import { connectBackend } from './test-backend.ts'
import { testGateway } from './test-gateway.ts'

test('a backend lost before the head is a 502 that the official clients do not repeat', async () => {
  const gateway = await testGateway()
  const started = Promise.withResolvers<void>()
  const backend = await connectBackend(gateway.url, gateway.token, () => {
    started.resolve()
    return new Promise(() => {})
  })
  const answer = gateway.post(chat, { model: 'tiger' })
  await started.promise
  backend.crash()

  expect(await errorOf(await answer)).toEqual({
    status: 502,
    retryAfter: null,
    shouldRetry: 'false',
    message: 'The connection to the backend was lost during the request.',
    type: 'server_error',
    param: null,
    code: 'backend_connection_lost',
  })
  expect(await gateway.usage(1)).toMatchObject([
    { status: 502, outcome: 'failed', completion_tokens: 0, tokens_source: 'lost' },
  ])
})

test('a backend lost after its head and before its first bytes is a 502 as well', async () => {
  const gateway = await testGateway()
  const headSent = Promise.withResolvers<void>()
  const backend = await connectBackend(gateway.url, gateway.token, async () => {
    const body = new ReadableStream<Uint8Array>({ pull: () => headSent.resolve() })
    return new Response(body, { headers: { 'content-type': sse } })
  })
  const answer = gateway.post(chat, { model: 'tiger', stream: true })
  await headSent.promise
  backend.crash()

  expect(await errorOf(await answer)).toMatchObject({
    status: 502,
    shouldRetry: 'false',
    code: 'backend_connection_lost',
  })
  expect(await gateway.usage(1)).toMatchObject([{ status: 502, outcome: 'failed' }])
})

test('a backend lost in mid-stream ends the events with an error and no [DONE]', async () => {
  const gateway = await testGateway()
  const stream = hanging(`${event('a')}data: {"half`, sse)
  const backend = await connectBackend(gateway.url, gateway.token, stream.handler)
  const reader = textReader(await gateway.post(chat, { model: 'tiger', stream: true }))

  expect((await reader.read()).value).toBe(event('a'))
  backend.crash()
  expect((await reader.read()).value).toBe(
    'data: {"error":{"message":"The connection to the backend was lost during the request.",' +
      '"type":"server_error","param":null,"code":"backend_connection_lost"}}\n\n',
  )
  expect((await reader.read()).done).toBe(true)
  expect(await gateway.usage(1)).toMatchObject([
    { status: 200, outcome: 'failed', tokens_source: 'lost' },
  ])
})

test('a backend lost in the middle of a plain answer breaks the connection', async () => {
  const gateway = await testGateway()
  const half = hanging('{"half":', 'application/json')
  const backend = await connectBackend(gateway.url, gateway.token, half.handler)
  const response = await gateway.post(chat, { model: 'tiger' })
  const reader = textReader(response)
  expect((await reader.read()).value).toBe('{"half":')
  backend.crash()

  await expect(reader.read()).rejects.toThrow('terminated')
  await gateway.usage(1)
})

test("a backend's own failure is told as one, without its words", async () => {
  const gateway = await testGateway()
  await connectBackend(gateway.url, gateway.token, async () => {
    throw new Error('secret path /etc')
  })

  expect(await errorOf(await gateway.post(chat, { model: 'tiger' }))).toMatchObject({
    status: 502,
    shouldRetry: 'false',
    code: 'backend_error',
    message: 'The backend failed during the request.',
  })
})

test("a backend's error answer is passed on with its hints, and counts as no use", async () => {
  const gateway = await testGateway()
  const text = '{"error":{"message":"temperature must be ≥ 0"}}'
  await connectBackend(
    gateway.url,
    gateway.token,
    async () => new Response(text, { status: 400, headers: { 'x-should-retry': 'false' } }),
  )
  const response = await gateway.post(chat, { model: 'tiger', temperature: -1 })

  expect([response.status, response.headers.get('x-should-retry'), await response.text()]).toEqual([
    400,
    'false',
    text,
  ])
  expect(await gateway.usage(1)).toMatchObject([
    { status: 400, outcome: 'completed', prompt_tokens: 0, tokens_source: 'reported' },
  ])
})

test.each([204, 302])('a backend that answers with %i is a bad one', async (status) => {
  const gateway = await testGateway()
  await connectBackend(gateway.url, gateway.token, async () => new Response(null, { status }))

  expect(await errorOf(await gateway.post(chat, { model: 'tiger' }))).toMatchObject({
    status: 502,
    code: 'backend_error',
  })
})

test('a full backend is a 503 to try again, and what never ran is not in the books', async () => {
  const gateway = await testGateway()
  const stream = hanging(event('a'), sse)
  await connectBackend(gateway.url, gateway.token, stream.handler, { maxStreams: 1 })
  const running = await gateway.post(chat, { model: 'tiger', stream: true })

  expect(await errorOf(await gateway.post(chat, { model: 'tiger' }))).toMatchObject({
    status: 503,
    retryAfter: '1',
    code: 'server_is_overloaded',
    type: 'service_unavailable_error',
  })
  await running.body?.cancel()
  expect(await gateway.usage(1)).toMatchObject([{ status: 200, outcome: 'cancelled' }])
})
