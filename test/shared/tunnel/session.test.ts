import { describe, expect, it } from 'vitest'
import { silentLog } from '../../support/silent-log.ts'
import { closeCodes } from '../../../shared/tunnel/error.ts'
import type { OpenRequest } from '../../../shared/tunnel/exchange.ts'
import { limits } from '../../../shared/tunnel/limits.ts'
import { sessionPair } from '../../support/tunnel-memory.ts'
import { endless, get, nothing, post, quickTiming, usage } from './exchanges.ts'

describe('an exchange', () => {
  it('carries method, path, headers and body there, and status, headers, body and usage back', async () => {
    const { gateway, backend } = await sessionPair({
      handler: async (request, exchange) => {
        exchange.reportUsage(usage)
        const url = new URL(request.url)
        const seen = [
          request.method,
          url.pathname + url.search,
          request.headers.get('content-type'),
        ]
        const body = JSON.stringify([exchange.requestId, ...seen, await request.text()])
        return new Response(body, { status: 201, headers: { 'x-a': 'b' } })
      },
    })
    const exchange = gateway.open(post('wörld'))
    const head = await exchange.head
    expect([head.status, head.headers.get('x-a')]).toEqual([201, 'b'])
    expect(await new Response(exchange.body).json()).toEqual([
      'r',
      'POST',
      '/v1/models?a=b',
      'text/plain',
      'wörld',
    ])
    expect(await exchange.settled).toEqual({ outcome: 'completed', usage, isFinal: true })
    expect([gateway.openStreams, backend.openStreams]).toEqual([0, 0])
  })

  it('has no body where the answer has none', async () => {
    const { gateway } = await sessionPair({
      handler: async () => new Response(null, { status: 204 }),
    })
    const exchange = gateway.open(get)
    expect((await exchange.head).status).toBe(204)
    expect((await new Response(exchange.body).bytes()).byteLength).toBe(0)
    expect(await exchange.settled).toEqual({ outcome: 'completed', usage: nothing, isFinal: true })
  })

  it('settles with the final count, though it comes after the body', async () => {
    const { gateway } = await sessionPair({
      handler: async (_request, exchange) => {
        exchange.reportUsage({ promptTokens: 3, completionTokens: 1 })
        exchange.usage(new Promise((resolve) => setTimeout(() => resolve(usage), 10)))
        return new Response('done')
      },
    })
    expect(await gateway.open(get).settled).toEqual({ outcome: 'completed', usage, isFinal: true })
  })

  it.each([
    ['rejects', () => Promise.reject(new Error('lost count'))],
    ['is null', () => Promise.resolve(null)],
    ['never comes', () => new Promise<null>(() => {})],
  ])('settles with the last reported count when the final one %s', async (_, final) => {
    const { gateway } = await sessionPair({
      timing: quickTiming,
      handler: async (_request, exchange) => {
        exchange.reportUsage(usage)
        exchange.usage(final())
        return new Response('done')
      },
    })
    expect(await gateway.open(get).settled).toEqual({ outcome: 'completed', usage, isFinal: true })
  })

  it('answers before the request body was read, and sends no more of it', async () => {
    const { gateway, toBackend } = await sessionPair({
      handler: async () => new Response('no thanks', { status: 413 }),
    })
    const exchange = gateway.open(post(new Uint8Array(8 * 1024 * 1024)))
    expect((await exchange.head).status).toBe(413)
    expect(await exchange.settled).toEqual({ outcome: 'completed', usage: nothing, isFinal: true })
    // One window of the body, in messages of 256 KiB.
    expect(toBackend.numMessages).toBeLessThan(6)
  })
})

describe('a failed exchange', () => {
  it('fails with INTERNAL when the handler throws, and may have run', async () => {
    const errors: unknown[] = []
    const { gateway } = await sessionPair({
      log: { ...silentLog, error: (event, fields) => errors.push([event, fields?.['requestId']]) },
      handler: async () => {
        throw new Error('secret detail')
      },
    })
    const exchange = gateway.open(get)
    await expect(exchange.head).rejects.toMatchObject({
      code: 'INTERNAL',
      mayHaveRun: true,
      message: 'the backend failed to answer',
    })
    expect(await exchange.settled).toEqual({
      outcome: 'failed',
      usage: nothing,
      isFinal: true,
      errorCode: 'INTERNAL',
    })
    expect(errors).toEqual([['request failed', 'r']])
  })

  it('delivers the bytes before the failure, errors the body, and still brings the usage', async () => {
    let signal: AbortSignal | undefined
    const { gateway } = await sessionPair({
      handler: async (request, exchange) => {
        signal = request.signal
        exchange.reportUsage(usage)
        let numPulls = 0
        return new Response(
          new ReadableStream({
            pull(controller) {
              if (numPulls++ === 0) controller.enqueue(Uint8Array.of(1))
              else throw new Error('engine died')
            },
          }),
        )
      },
    })
    const exchange = gateway.open(get)
    const reader = exchange.body.getReader()
    expect(await reader.read()).toEqual({ done: false, value: Uint8Array.of(1) })
    await expect(reader.read()).rejects.toMatchObject({ code: 'INTERNAL', mayHaveRun: true })
    expect(await exchange.settled).toEqual({
      outcome: 'failed',
      usage,
      isFinal: true,
      errorCode: 'INTERNAL',
    })
    expect(signal?.aborted).toBe(true)
  })

  it('fails alone when its response head cannot be sent', async () => {
    const { gateway } = await sessionPair({
      handler: async (request) =>
        new Response('x', {
          headers: request.method === 'POST' ? { big: 'x'.repeat(40_000) } : {},
        }),
    })
    const other = gateway.open(get)
    expect(await gateway.open(post('x')).settled).toMatchObject({ errorCode: 'INTERNAL' })
    expect(await other.settled).toMatchObject({ outcome: 'completed' })
  })

  it.each<[string, Partial<OpenRequest>, string]>([
    ['a head over 32 KiB', { headers: new Headers({ a: 'x'.repeat(33_000) }) }, 'TOO_LARGE'],
    [
      'a body over 32 MiB',
      { method: 'POST', body: new Uint8Array(limits.bodyBytes + 1) },
      'TOO_LARGE',
    ],
    ['a path without a slash', { path: 'v1' }, 'PROTOCOL_ERROR'],
    ['a body on GET', { body: Uint8Array.of(1) }, 'PROTOCOL_ERROR'],
  ])('is not sent at all with %s', async (_, part, code) => {
    const { gateway, toBackend } = await sessionPair({ handler: async () => new Response() })
    const before = toBackend.numMessages
    const exchange = gateway.open({ ...get, ...part })
    await expect(exchange.head).rejects.toMatchObject({ code, mayHaveRun: false })
    await expect(exchange.body.getReader().read()).rejects.toMatchObject({ code })
    expect(await exchange.settled).toEqual({
      outcome: 'failed',
      usage: null,
      isFinal: false,
      errorCode: code,
    })
    expect([gateway.openStreams, toBackend.numMessages]).toEqual([0, before])
  })
})

describe('capacity', () => {
  it('refuses one stream too many without asking the backend', async () => {
    const { gateway } = await sessionPair({
      maxStreams: 2,
      handler: async (request, exchange) => endless(request, exchange),
    })
    const running = [gateway.open(get), gateway.open(get)]
    expect(gateway.hasRoom).toBe(false)
    await expect(gateway.open(get).head).rejects.toMatchObject({
      code: 'OVERLOADED',
      mayHaveRun: false,
    })
    for (const exchange of running) exchange.cancel('enough')
    await Promise.all(running.map((exchange) => exchange.settled))
    expect(gateway.hasRoom).toBe(true)
  })

  it('takes the smaller number of streams of both sides', async () => {
    const { gateway } = await sessionPair({
      hello: { maxStreams: 1 },
      handler: async (request, exchange) => endless(request, exchange),
    })
    gateway.open(get)
    expect(gateway.hasRoom).toBe(false)
  })

  it('asks for a new connection when the stream ids are used up', async () => {
    const { gateway } = await sessionPair({
      firstStreamId: limits.maxStreamId - 2,
      handler: async () => new Response('ok'),
    })
    const exchanges = [gateway.open(get), gateway.open(get)]
    await expect(gateway.open(get).head).rejects.toMatchObject({ code: 'OVERLOADED' })
    for (const exchange of exchanges) {
      expect(await exchange.settled).toMatchObject({ outcome: 'completed' })
    }
    expect(await gateway.closed).toMatchObject({ code: closeCodes.GOING_AWAY, by: 'us' })
  })
})
