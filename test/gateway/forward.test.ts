import { request } from 'node:http'
import { expect, test } from 'vitest'
import type { TunnelHandler } from '../../shared/tunnel/exchange.ts'
import { connectBackend } from './test-backend.ts'
import { testGateway } from './test-gateway.ts'

const chat = '/v1/chat/completions'
const encoder = new TextEncoder()
const event = (text: string) => `data: {"t":"${text}"}\n\n`

/** Answers with the text, whole. */
const answering =
  (text: string, init: ResponseInit = {}): TunnelHandler =>
  async (_, exchange) => {
    exchange.reportUsage({ promptTokens: 7, completionTokens: 3 })
    return new Response(text, {
      ...init,
      headers: { 'content-type': 'application/json', ...init.headers },
    })
  }

/** Sends `first` and then nothing more until it is cancelled or `end` is called. */
const hanging = (first: string, contentType: string) => {
  const cancelled = Promise.withResolvers<void>()
  const started = Promise.withResolvers<void>()
  let end = (_last: string) => {}
  const handler: TunnelHandler = async (incoming, exchange) => {
    incoming.signal.addEventListener('abort', () => cancelled.resolve())
    exchange.reportUsage({ promptTokens: 7, completionTokens: 2 })
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(encoder.encode(first))
        end = (last) => {
          controller.enqueue(encoder.encode(last))
          controller.close()
        }
        started.resolve()
      },
    })
    return new Response(body, { headers: { 'content-type': contentType } })
  }
  return {
    handler,
    cancelled: cancelled.promise,
    started: started.promise,
    end: (last: string) => end(last),
  }
}

const sse = 'text/event-stream; charset=utf-8'

const textReader = (response: Response) => {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  if (!reader) throw new Error('no body')
  return reader
}

const errorOf = async (response: Response) => {
  const body: unknown = await response.json()
  if (typeof body !== 'object' || body === null || !('error' in body)) throw new Error('no error')
  return {
    status: response.status,
    retryAfter: response.headers.get('retry-after'),
    shouldRetry: response.headers.get('x-should-retry'),
    ...Object(body.error),
  }
}

test('an answer comes back whole, and its tokens go into the books once', async () => {
  const gateway = await testGateway()
  await connectBackend(gateway.url, gateway.token, answering('{"id":"chatcmpl-1"}'))
  const response = await gateway.post(chat, { model: 'tiger', messages: [] })

  expect({
    status: response.status,
    type: response.headers.get('content-type'),
    body: await response.text(),
  }).toEqual({ status: 200, type: 'application/json', body: '{"id":"chatcmpl-1"}' })
  expect(await gateway.usage(1)).toEqual([
    {
      request_id: response.headers.get('x-request-id'),
      key_id: gateway.keyId,
      backend_id: gateway.backendId,
      model: 'tiger',
      route: chat,
      stream: 0,
      status: 200,
      outcome: 'completed',
      prompt_tokens: 7,
      completion_tokens: 3,
      tokens_source: 'reported',
      started_at: expect.any(Number),
      ttft_ms: null,
      duration_ms: expect.any(Number),
    },
  ])
})

test('the backend gets the body byte for byte, and of the headers only what it may see', async () => {
  const gateway = await testGateway()
  const seen: unknown[] = []
  await connectBackend(gateway.url, gateway.token, async (incoming, { requestId }) => {
    const { pathname, search } = new URL(incoming.url)
    const body = await incoming.text()
    seen.push({ body, path: pathname + search, requestId, ...Object.fromEntries(incoming.headers) })
    return new Response('{}', { headers: { server: 'secret/1.0', 'set-cookie': 'a=b' } })
  })
  const body = ' {"model":"tiger", "__proto__": {"model": 1}, "x": "你\\ud800"}'
  const response = await gateway.post(`/v1/completions?api_key=1`, null, {
    body,
    headers: {
      authorization: `bearer  ${gateway.key.reveal()}`,
      cookie: 'session=1',
      'content-type': 'application/json',
      accept: 'application/json',
      'x-stainless-os': 'Linux',
      'x-forwarded-for': '10.0.0.1',
      'x-request-id': 'theirs-1',
      'x-burrow-tenant': 'key_of_another',
    },
  })

  expect(response.headers.get('server')).toBeNull()
  expect(response.headers.get('set-cookie')).toBeNull()
  const requestId = response.headers.get('x-request-id')
  expect(requestId).toMatch(/^req_/)
  expect(seen).toEqual([
    {
      body,
      path: '/v1/completions',
      requestId,
      accept: 'application/json',
      'content-type': 'application/json',
      'x-burrow-tenant': gateway.keyId,
    },
  ])
  await gateway.usage(1)
  expect(gateway.logged.join('\n')).toContain('clientRequest=theirs-1')
  expect(gateway.logged.join('\n')).not.toContain(gateway.key.reveal())
})

test('a stream arrives event by event while it runs, unbuffered', async () => {
  const gateway = await testGateway()
  const stream = hanging(event('a'), sse)
  await connectBackend(gateway.url, gateway.token, stream.handler)
  const response = await gateway.post(chat, { model: 'tiger', stream: true })
  const reader = textReader(response)

  expect((await reader.read()).value).toBe(event('a'))
  stream.end(`${event('b')}data: [DONE]\n\n`)
  expect((await reader.read()).value).toBe(`${event('b')}data: [DONE]\n\n`)
  expect((await reader.read()).done).toBe(true)
  expect(response.headers.get('cache-control')).toBe('no-cache, no-transform')
  const [record] = await gateway.usage(1)
  expect(record).toMatchObject({ stream: 1, outcome: 'completed', ttft_ms: expect.any(Number) })
})

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

test('a full backend is a 503 to try again, and nothing was used', async () => {
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
  expect((await gateway.usage(2)).find(({ status }) => status === 503)).toMatchObject({
    outcome: 'failed',
    completion_tokens: 0,
    tokens_source: 'reported',
  })
})

test('what is turned down before the tunnel leaves no usage record', async () => {
  const gateway = await testGateway()
  const offline = await errorOf(await gateway.post(chat, { model: 'tiger' }))
  await connectBackend(gateway.url, gateway.token, answering('{}'))
  const unknown = await errorOf(await gateway.post(chat, { model: 'lion' }))
  const refused = await Promise.all(
    ['{"model":', '[]', '{}', '{"model":7}', '{"model":""}', '', '"a"', 'null'].map(
      async (body) => {
        const response = await gateway.post(chat, null, { body, headers: auth(gateway) })
        const { status, param } = await errorOf(response)
        return { body, status, param }
      },
    ),
  )
  const hostile = await gateway.post(chat, null, {
    body: '{"__proto__":{"model":"tiger"}}',
    headers: auth(gateway),
  })
  const deep = await gateway.post(chat, null, {
    body: '['.repeat(1_000_000),
    headers: auth(gateway),
  })
  const large = await gateway.post(chat, null, {
    body: new Uint8Array(8 * 1024 * 1024 + 1),
    headers: auth(gateway),
  })
  const stranger = await gateway.post(chat, { model: 'tiger' }, { headers: {} })

  expect(offline).toEqual({
    status: 503,
    retryAfter: '5',
    shouldRetry: null,
    message: 'No backend is connected at the moment. Please try again shortly.',
    type: 'service_unavailable_error',
    param: null,
    code: 'no_backend_online',
  })
  expect(unknown).toMatchObject({ status: 404, code: 'model_not_found', param: 'model' })
  expect(refused).toEqual([
    { body: '{"model":', status: 400, param: null },
    { body: '[]', status: 400, param: null },
    { body: '{}', status: 400, param: 'model' },
    { body: '{"model":7}', status: 400, param: 'model' },
    { body: '{"model":""}', status: 400, param: 'model' },
    { body: '', status: 400, param: null },
    { body: '"a"', status: 400, param: null },
    { body: 'null', status: 400, param: null },
  ])
  expect([hostile.status, deep.status, stranger.status]).toEqual([400, 400, 401])
  expect(await errorOf(large)).toMatchObject({ status: 413, code: 'request_too_large' })
  await gateway.post(chat, { model: 'tiger' })
  expect(await gateway.usage(1)).toHaveLength(1)
})

test('a body that never says its length is counted as it comes', async () => {
  const gateway = await testGateway()
  await connectBackend(gateway.url, gateway.token, answering('{}'))
  const status = await new Promise((resolve, reject) => {
    const outgoing = request(gateway.url + chat, { method: 'POST', headers: auth(gateway) })
    outgoing.on('response', (incoming) => resolve(incoming.statusCode)).on('error', reject)
    const chunk = Buffer.alloc(1024 * 1024, ' ')
    for (let i = 0; i < 9; i++) outgoing.write(chunk)
    outgoing.end()
  })

  expect(status).toBe(413)
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
  const before = performance.now()
  await gateway.admin.revokeKey(gateway.keyId)

  expect((await mine.read()).value).toBe(
    'data: {"error":{"message":"This API key has been revoked.","type":"invalid_request_error",' +
      '"param":null,"code":"invalid_api_key"}}\n\n',
  )
  expect((await mine.read()).done).toBe(true)
  expect(performance.now() - before).toBeLessThan(1000)
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

test('a client that reads slowly holds up the backend rather than fill the gateway', async () => {
  const gateway = await testGateway()
  const chunk = encoder.encode(`data: ${'x'.repeat(16_000)}\n\n`)
  let sent = 0
  await connectBackend(gateway.url, gateway.token, async () => {
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        sent += chunk.byteLength
        controller.enqueue(chunk)
        if (sent > 32 * 1024 * 1024) controller.close()
      },
    })
    return new Response(body, { headers: { 'content-type': sse } })
  })
  const incoming = await new Promise<NodeJS.ReadableStream>((resolve, reject) => {
    const outgoing = request(gateway.url + chat, { method: 'POST', headers: auth(gateway) })
    outgoing.on('response', resolve).on('error', reject)
    outgoing.end(JSON.stringify({ model: 'tiger', stream: true }))
  })
  incoming.pause()
  let last = -1
  while (sent !== last) {
    last = sent
    await new Promise((resolve) => setTimeout(resolve, 150))
  }

  // What the kernel's socket buffers and the tunnel's window hold.
  expect(sent).toBeLessThan(16 * 1024 * 1024)
  let received = 0
  for await (const part of incoming) received += part.length
  expect(received).toBe(sent)
})

const auth = (gateway: { readonly key: { reveal(): string } }) => ({
  authorization: `Bearer ${gateway.key.reveal()}`,
})
