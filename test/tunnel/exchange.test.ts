import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import type { Tunnel } from '../../backend/tunnel/dial.ts'
import type { ConnectedBackend } from '../../gateway/tunnel/backend-connection.ts'
import type { TunnelHandler } from '../../shared/tunnel/exchange.ts'
import { limits } from '../../shared/tunnel/limits.ts'
import {
  dialTest,
  startGateway,
  testRequest,
  until,
  type TestGateway,
} from '../support/tunnel-pair.ts'

let gateway: TestGateway
let tunnel: Tunnel

const connect = async (handler: TunnelHandler): Promise<ConnectedBackend> => {
  gateway = await startGateway()
  tunnel = dialTest({ url: gateway.url, handler })
  await tunnel.connected
  const backend = gateway.registry.pick('tiny')
  if (!backend) throw new Error('not connected')
  return backend
}

afterEach(async () => {
  await tunnel.close(0)
  await gateway.close()
})

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

/** Bytes in which every mistake of order shows. */
const pattern = (length: number): Uint8Array<ArrayBuffer> => {
  const bytes = new Uint8Array(length)
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >> 8) * 7 + (i >> 16)) & 0xff
  return bytes
}

const streamOf = (
  chunks: Iterable<Uint8Array<ArrayBuffer>>,
): ReadableStream<Uint8Array<ArrayBuffer>> => {
  const iterator = chunks[Symbol.iterator]()
  return new ReadableStream({
    pull(controller) {
      const { done, value } = iterator.next()
      if (done) controller.close()
      else controller.enqueue(value)
    },
  })
}

describe('a tunnel over a real socket', () => {
  it('carries 600 requests, up to 200 at once, and mixes none of them up', async () => {
    const backend = await connect(async (request, exchange) => {
      const text = await request.text()
      const number = Number(text)
      await sleep(number % 5)
      exchange.reportUsage({ promptTokens: number, completionTokens: 1 })
      return new Response(streamOf([...`${text}:${text}`].map((c) => Buffer.from(c))))
    })
    const ask = async (number: number) => {
      const exchange = backend.open(testRequest(String(number)))
      const text = await new Response(exchange.body).text()
      return [text, (await exchange.settled).usage?.promptTokens]
    }
    const answers: unknown[] = []
    for (let round = 0; round < 3; round++) {
      const numbers = Array.from({ length: 200 }, (_, i) => round * 200 + i)
      answers.push(...(await Promise.all(numbers.map(ask))))
    }
    expect(answers).toEqual(Array.from({ length: 600 }, (_, i) => [`${i}:${i}`, i]))
    expect(backend.openStreams).toBe(0)
  })

  it('shows each chunk of a stream before the next is made', async () => {
    let next = Promise.withResolvers<void>()
    const backend = await connect(
      async () =>
        new Response(
          new ReadableStream({
            async start(controller) {
              for (let i = 0; i < 20; i++) {
                controller.enqueue(Buffer.from(`data: ${i}\n\n`))
                await next.promise
                next = Promise.withResolvers()
              }
              controller.close()
            },
          }),
        ),
    )
    const reader = backend.open(testRequest()).body.getReader()
    const seen: string[] = []
    for (let i = 0; i < 20; i++) {
      const { value } = await reader.read()
      seen.push(Buffer.from(value ?? []).toString())
      next.resolve()
    }
    expect(seen).toEqual(Array.from({ length: 20 }, (_, i) => `data: ${i}\n\n`))
    expect((await reader.read()).done).toBe(true)
  })

  it('keeps every byte of events of 1 byte and of 1 MiB, and of letters cut in two', async () => {
    const text = Buffer.from('größer 虎 🐯 '.repeat(2_000))
    const parts = [
      ...Array.from(text.subarray(0, 500), (byte) => Uint8Array.of(byte)),
      Uint8Array.from(text.subarray(500)),
      pattern(1024 * 1024),
      Uint8Array.of(10),
    ]
    const backend = await connect(async () => new Response(streamOf(parts)))
    const bytes = await new Response(backend.open(testRequest()).body).bytes()
    expect(sha256(bytes)).toBe(sha256(Buffer.concat(parts)))
  })

  it('carries 24 MiB up and down at once', async () => {
    const backend = await connect(async (request) => new Response(request.body))
    const body = pattern(24 * 1024 * 1024)
    const exchange = backend.open(testRequest(body))
    const bytes = await new Response(exchange.body).bytes()
    expect(sha256(bytes)).toBe(sha256(body))
    expect(await exchange.settled).toMatchObject({ outcome: 'completed' })
  })

  it('does not lock up when both ends write as much as they can', async () => {
    const backend = await connect(async (request) => new Response(request.body))
    const bodies = Array.from({ length: 24 }, () => pattern(2 * 1024 * 1024))
    const exchanges = bodies.map((body) => backend.open(testRequest(body)))
    // Nobody reads yet: all windows, and the sockets between, fill up.
    await sleep(50)
    const lengths = await Promise.all(
      exchanges.map(async ({ body }) => (await new Response(body).bytes()).byteLength),
    )
    expect(lengths).toEqual(bodies.map((body) => body.byteLength))
  })
})

describe('back-pressure', () => {
  it('lets a reader that stops hold one window of the answer, and stalls nobody else', async () => {
    let produced = 0
    const chunk = new Uint8Array(8 * 1024)
    const backend = await connect(async (request) => {
      if (request.method === 'POST') return new Response('quick')
      return new Response(
        new ReadableStream(
          {
            pull(controller) {
              produced += chunk.byteLength
              controller.enqueue(chunk)
            },
          },
          { highWaterMark: 0 },
        ),
      )
    })
    const slow = backend.open(testRequest())
    await slow.head
    for (let i = 0; i < 100; i++) {
      expect(await new Response(backend.open(testRequest('x')).body).text()).toBe('quick')
    }
    // The window, and the chunk that waits for credit.
    expect(produced).toBe(limits.responseWindowBytes + chunk.byteLength)

    const reader = slow.body.getReader()
    let read = 0
    while (read < limits.responseWindowBytes) read += (await reader.read()).value?.byteLength ?? 0
    // Credit comes back from half a window on.
    await until(() => produced >= read + limits.responseWindowBytes / 2, 'the stream goes on')
    await reader.cancel()
  })

  it('lets a handler that does not read hold one window of the request, and stalls nobody else', async () => {
    const release = Promise.withResolvers<void>()
    const body = pattern(4 * 1024 * 1024)
    const backend = await connect(async (request) => {
      if (request.method === 'GET') return new Response('quick')
      await release.promise
      return new Response(sha256(new Uint8Array(await request.arrayBuffer())))
    })
    const before = process.memoryUsage().arrayBuffers
    const slow = Array.from({ length: 20 }, () => backend.open(testRequest(body)))
    expect(await new Response(backend.open(testRequest()).body).text()).toBe('quick')
    await sleep(50)
    // 20 windows of 256 KiB, their messages in flight, and room for what is not yet collected.
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(30 * 1024 * 1024)
    release.resolve()
    const answers = await Promise.all(slow.map((each) => new Response(each.body).text()))
    expect(new Set(answers)).toEqual(new Set([sha256(body)]))
  })
})

describe('cancelling', () => {
  it('reaches the handler at once, and brings its count back', async () => {
    let stoppedAt = 0
    const backend = await connect(async (request, exchange) => {
      const final = Promise.withResolvers<{ promptTokens: number; completionTokens: number }>()
      exchange.usage(final.promise)
      let numChunks = 0
      request.signal.addEventListener('abort', () => {
        stoppedAt = performance.now()
        setTimeout(() => final.resolve({ promptTokens: 7, completionTokens: numChunks }), 20)
      })
      return new Response(
        new ReadableStream({
          async pull(controller) {
            await sleep(2)
            numChunks++
            controller.enqueue(Uint8Array.of(1))
          },
        }),
      )
    })
    const exchange = backend.open(testRequest())
    const reader = exchange.body.getReader()
    await reader.read()
    const cancelledAt = performance.now()
    await reader.cancel('the client has gone')
    const settlement = await exchange.settled
    expect(settlement).toEqual({
      outcome: 'cancelled',
      isFinal: true,
      usage: { promptTokens: 7, completionTokens: expect.any(Number) },
    })
    expect(settlement.usage?.completionTokens).toBeGreaterThan(0)
    expect(stoppedAt - cancelledAt).toBeLessThan(100)
    expect(backend.openStreams).toBe(0)
  })

  it('leaves nothing behind after 1,000 streams that were opened and given up', async () => {
    let running = 0
    const backend = await connect((request) => {
      running++
      return new Promise((_, reject) => {
        request.signal.addEventListener('abort', () => {
          running--
          reject(new Error('stopped'))
        })
      })
    })
    for (let round = 0; round < 10; round++) {
      const exchanges = Array.from({ length: 100 }, () => backend.open(testRequest('body')))
      if (round % 2 === 0) await until(() => running > 0, 'some have begun')
      for (const exchange of exchanges) exchange.cancel('enough')
      const outcomes = await Promise.all(
        exchanges.map(async ({ settled }) => (await settled).outcome),
      )
      expect(new Set(outcomes)).toEqual(new Set(['cancelled']))
    }
    expect({ running, openStreams: backend.openStreams }).toEqual({ running: 0, openStreams: 0 })
  })
})
