import { request } from 'node:http'
import { expect, test } from 'vitest'
import { answering, auth, chat, encoder, event, hanging, sse, textReader } from './forwarding.ts'
import { connectBackend } from './test-backend.ts'
import { testGateway } from './test-gateway.ts'

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
