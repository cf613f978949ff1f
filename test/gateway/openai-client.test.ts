import { setTimeout as sleep } from 'node:timers/promises'
import OpenAI, { APIError, AuthenticationError, InternalServerError, NotFoundError } from 'openai'
import { expect, test } from 'vitest'
import type { TunnelHandler } from '../../shared/tunnel/exchange.ts'
import { connectBackend } from './test-backend.ts'
import { testGateway } from './test-gateway.ts'

const chunk = (content: string) =>
  `data: ${JSON.stringify({
    id: 'chatcmpl-1',
    object: 'chat.completion.chunk',
    created: 1,
    model: 'tiger',
    choices: [{ index: 0, delta: { content }, finish_reason: null }],
  })}\n\n`

const streaming = (...texts: string[]): TunnelHandler => {
  const body = new Blob([...texts.map(chunk), 'data: [DONE]\n\n'])
  return async () => new Response(body, { headers: { 'content-type': 'text/event-stream' } })
}

const messages = [{ role: 'user' as const, content: '3+5=?' }]

const withClient = async (maxRetries = 0, options: Parameters<typeof testGateway>[0] = {}) => {
  const gateway = await testGateway(options)
  const baseURL = `${gateway.url}/v1`
  return { gateway, client: new OpenAI({ baseURL, apiKey: gateway.key.reveal(), maxRetries }) }
}

const errorOf = (promise: PromiseLike<unknown>) =>
  promise.then(
    () => null,
    (error: unknown) => error,
  )

test('the official client lists the models and streams a chat', async () => {
  const { gateway, client } = await withClient()
  await connectBackend(gateway.url, gateway.token, streaming(' 3+5', '=8'))
  const models = await client.models.list()
  const stream = await client.chat.completions.create({ model: 'tiger', messages, stream: true })
  let text = ''
  for await (const { choices } of stream) text += choices[0]?.delta.content

  expect(models.data.map(({ id }) => id)).toEqual(['tiger'])
  expect(text).toBe(' 3+5=8')
})

test('the official client passes over the comments of a silent stream, early and between its events', async () => {
  const answerTiming = { headMs: 10, keepAliveMs: 10, stallMs: 60_000 }
  const { gateway, client } = await withClient(0, { answerTiming })
  await connectBackend(gateway.url, gateway.token, async () => {
    await sleep(60)
    const chunks = [chunk(' 3+5'), chunk('=8'), 'data: [DONE]\n\n']
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        await sleep(60)
        controller.enqueue(new TextEncoder().encode(chunks.shift()))
        if (chunks.length === 0) controller.close()
      },
    })
    return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
  })
  const raw = gateway.post('/v1/chat/completions', { model: 'tiger', messages, stream: true })
  const stream = await client.chat.completions.create({ model: 'tiger', messages, stream: true })
  let text = ''
  for await (const { choices } of stream) text += choices[0]?.delta.content

  expect(text).toBe(' 3+5=8')
  const parts = (await (await raw).text()).split('\n\n')
  expect(parts[0]).toBe(': keep-alive')
  expect(parts.lastIndexOf(': keep-alive')).toBeGreaterThan(
    parts.findIndex((part) => part.startsWith('data:')),
  )
})

test('the official client knows our errors, and a broken stream is one', async () => {
  const { gateway, client } = await withClient()
  const stranger = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'sk-wrong', maxRetries: 0 })
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(new TextEncoder().encode(chunk('3'))),
  })
  const unauthorized = await errorOf(stranger.models.list())
  const offline = await errorOf(client.chat.completions.create({ model: 'tiger', messages }))
  const backend = await connectBackend(
    gateway.url,
    gateway.token,
    async () => new Response(body, { headers: { 'content-type': 'text/event-stream' } }),
  )
  const unknown = await errorOf(client.chat.completions.create({ model: 'lion', messages }))
  const stream = await client.chat.completions.create({ model: 'tiger', messages, stream: true })
  const chunks = stream[Symbol.asyncIterator]()
  await chunks.next()
  backend.crash()
  const broken = await errorOf(chunks.next())

  expect(unauthorized).toBeInstanceOf(AuthenticationError)
  expect(unauthorized).toMatchObject({ code: 'invalid_api_key', requestID: expect.any(String) })
  expect(offline).toBeInstanceOf(InternalServerError)
  expect(offline).toMatchObject({ status: 503, code: 'no_backend_online' })
  expect(unknown).toBeInstanceOf(NotFoundError)
  expect(unknown).toMatchObject({ code: 'model_not_found', param: 'model' })
  expect(broken).toBeInstanceOf(APIError)
  expect(broken).toMatchObject({ code: 'backend_connection_lost' })
})

test('the official client does not repeat a request that may have run', async () => {
  const { gateway, client } = await withClient(3)
  let runs = 0
  const crash = Promise.withResolvers<void>()
  const backend = await connectBackend(gateway.url, gateway.token, () => {
    runs += 1
    crash.resolve()
    return new Promise(() => {})
  })
  const lost = errorOf(client.chat.completions.create({ model: 'tiger', messages }))
  await crash.promise
  backend.crash()

  expect(await lost).toMatchObject({ status: 502, code: 'backend_connection_lost' })
  expect([runs, (await gateway.usage(1)).length]).toEqual([1, 1])
})
