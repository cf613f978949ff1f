import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import type { TunnelHandler } from '../../shared/tunnel/exchange.ts'
import { auth, chat, encoder, event, sse } from './forwarding.ts'
import { connectBackend } from './test-backend.ts'
import { testGateway, type TestGateway } from './test-gateway.ts'

/** POSTs by hand, on a socket that can be destroyed at any time. */
const post = (gateway: TestGateway, stream: boolean): Socket => {
  const body = JSON.stringify({ model: 'tiger', stream })
  const socket = connect(Number(new URL(gateway.url).port), '127.0.0.1')
  onTestFinished(() => void socket.destroy())
  socket.on('error', () => {})
  socket.write(
    `POST ${chat} HTTP/1.1\r\nHost: a\r\nAuthorization: ${auth(gateway).authorization}\r\n` +
      `Content-Length: ${body.length}\r\n\r\n${body}`,
  )
  return socket
}

/** A backend that says how far it came and when it was stopped. */
const observed = (answer: (stop: AbortSignal) => Promise<Response>) => {
  const begun = Promise.withResolvers<void>()
  const stopped = Promise.withResolvers<void>()
  const handler: TunnelHandler = async (request, exchange) => {
    request.signal.addEventListener('abort', () => stopped.resolve())
    exchange.reportUsage({ promptTokens: 7, completionTokens: 2 })
    begun.resolve()
    return answer(request.signal)
  }
  return { handler, begun: begun.promise, stopped: stopped.promise }
}

const never = (stop: AbortSignal) =>
  new Promise<never>((_, reject) => {
    stop.addEventListener('abort', () => reject(new Error('stopped')))
  })

const headers = { 'content-type': sse }

const silent = async () =>
  new Response(new ReadableStream({ start: (c) => c.enqueue(encoder.encode(event('a'))) }), {
    headers,
  })

const busy = async () => {
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      await new Promise((resolve) => setImmediate(resolve))
      controller.enqueue(encoder.encode(event('a')))
    },
  })
  return new Response(body, { headers })
}

test.each([
  ['before the head', never, false, 499],
  ['in a silent stream', silent, true, 200],
  ['in a busy stream', busy, true, 200],
])(
  'a client that leaves %s stops the work and pays for it, once',
  async (_, answer, waitsForData, status) => {
    const gateway = await testGateway()
    const backend = observed(answer)
    await connectBackend(gateway.url, gateway.token, backend.handler)
    const socket = post(gateway, true)
    await backend.begun
    if (waitsForData) await once(socket, 'data')
    socket.destroy()

    await backend.stopped
    expect(await gateway.usage(1)).toMatchObject([
      { status, outcome: 'cancelled', completion_tokens: 2, tokens_source: 'reported' },
    ])
  },
)

test('a client that leaves the queue is taken out of it, and those before and behind stay', async () => {
  const gateway = await testGateway()
  const order: string[] = []
  let turn: Promise<unknown> = Promise.resolve()
  const first = Promise.withResolvers<void>()
  const queued: (() => void)[] = []
  const isQueued = [1, 2, 3].map(() => {
    const { promise, resolve } = Promise.withResolvers<void>()
    queued.push(resolve)
    return promise
  })
  // One after the other, as an engine with one slot; who was stopped loses its turn.
  await connectBackend(gateway.url, gateway.token, async (request) => {
    const { name = '' }: { name?: string } = JSON.parse(await request.text())
    const before = turn
    const done = Promise.withResolvers<void>()
    turn = turn.then(() => done.promise)
    request.signal.addEventListener('abort', () => {
      order.push(`${name} left`)
      done.resolve()
    })
    queued.shift()?.()
    await Promise.race([before, never(request.signal)])
    if (name === 'a') await first.promise
    order.push(name)
    done.resolve()
    return new Response(name)
  })
  const leaving = new AbortController()
  const ask = async (name: string, init: RequestInit = {}) => {
    const body = JSON.stringify({ model: 'tiger', name })
    const response = await gateway.post(chat, null, { headers: auth(gateway), ...init, body })
    return response.text()
  }
  const a = ask('a')
  await isQueued[0]
  const b = ask('b', { signal: leaving.signal })
  await isQueued[1]
  const c = ask('c')
  await isQueued[2]
  leaving.abort()
  await expect(b).rejects.toThrow('aborted')
  // It is in the books while the first still runs.
  expect(await gateway.usage(1)).toMatchObject([{ outcome: 'cancelled' }])
  first.resolve()

  expect([await a, await c]).toEqual(['a', 'c'])
  expect(order).toEqual(['b left', 'a', 'c'])
  expect((await gateway.usage(3)).map(({ outcome }) => outcome).toSorted()).toEqual([
    'cancelled',
    'completed',
    'completed',
  ])
})
