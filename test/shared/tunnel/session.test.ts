import { describe, expect, it } from 'vitest'
import { silentLog } from '../../support/silent-log.ts'
import { closeCodes } from '../../../shared/tunnel/error.ts'
import type { OpenRequest, ServedExchange } from '../../../shared/tunnel/exchange.ts'
import { defaultTiming, limits } from '../../../shared/tunnel/limits.ts'
import { sessionPair } from '../../support/tunnel-memory.ts'

const usage = { promptTokens: 3, completionTokens: 4 }
const nothing = { promptTokens: 0, completionTokens: 0 }

const get: OpenRequest = {
  requestId: 'r',
  method: 'GET',
  path: '/v1/models?a=b',
  headers: new Headers(),
  body: null,
}

const post = (body: Uint8Array<ArrayBuffer> | string): OpenRequest => ({
  ...get,
  method: 'POST',
  headers: new Headers({ 'content-type': 'text/plain' }),
  body: typeof body === 'string' ? new TextEncoder().encode(body) : body,
})

const quickTiming = { ...defaultTiming, cancelMs: 60, settleMs: 30 }

/** A handler's answer that never ends by itself, and settles its count when it is stopped. */
const endless = (request: Request, exchange: ServedExchange): Response => {
  const stopped = Promise.withResolvers<typeof usage>()
  exchange.usage(stopped.promise)
  request.signal.addEventListener('abort', () => setTimeout(() => stopped.resolve(usage), 5))
  return new Response(
    new ReadableStream({
      async pull(controller) {
        await new Promise((resolve) => setTimeout(resolve, 1))
        controller.enqueue(new Uint8Array(10))
      },
    }),
  )
}

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
    expect(await exchange.settled).toEqual({ outcome: 'completed', usage })
    expect([gateway.openStreams, backend.openStreams]).toEqual([0, 0])
  })

  it('has no body where the answer has none', async () => {
    const { gateway } = await sessionPair({
      handler: async () => new Response(null, { status: 204 }),
    })
    const exchange = gateway.open(get)
    expect((await exchange.head).status).toBe(204)
    expect((await new Response(exchange.body).bytes()).byteLength).toBe(0)
    expect(await exchange.settled).toEqual({ outcome: 'completed', usage: nothing })
  })

  it('settles with the final count, though it comes after the body', async () => {
    const { gateway } = await sessionPair({
      handler: async (_request, exchange) => {
        exchange.reportUsage({ promptTokens: 3, completionTokens: 1 })
        exchange.usage(new Promise((resolve) => setTimeout(() => resolve(usage), 10)))
        return new Response('done')
      },
    })
    expect(await gateway.open(get).settled).toEqual({ outcome: 'completed', usage })
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
    expect(await gateway.open(get).settled).toEqual({ outcome: 'completed', usage })
  })

  it('answers before the request body was read, and sends no more of it', async () => {
    const { gateway, toBackend } = await sessionPair({
      handler: async () => new Response('no thanks', { status: 413 }),
    })
    const exchange = gateway.open(post(new Uint8Array(8 * 1024 * 1024)))
    expect((await exchange.head).status).toBe(413)
    expect(await exchange.settled).toEqual({ outcome: 'completed', usage: nothing })
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
    expect(await exchange.settled).toEqual({ outcome: 'failed', usage, errorCode: 'INTERNAL' })
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
    expect(await exchange.settled).toEqual({ outcome: 'failed', usage: null, errorCode: code })
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

describe('a cancelled exchange', () => {
  it('stops the work, and settles with the count that the backend gives afterwards', async () => {
    const { gateway, backend } = await sessionPair({
      handler: async (request, exchange) => endless(request, exchange),
    })
    const exchange = gateway.open(get)
    await exchange.head
    exchange.cancel('the client has gone')
    await expect(exchange.body.getReader().read()).rejects.toMatchObject({ code: 'CANCEL' })
    expect(gateway.openStreams).toBe(1)
    expect(await exchange.settled).toEqual({ outcome: 'cancelled', usage })
    expect([gateway.openStreams, backend.openStreams]).toEqual([0, 0])
  })

  it('is cancelled by its body too', async () => {
    const { gateway } = await sessionPair({
      handler: async (request, exchange) => endless(request, exchange),
    })
    const exchange = gateway.open(get)
    const reader = exchange.body.getReader()
    await reader.read()
    await reader.cancel()
    expect(await exchange.settled).toEqual({ outcome: 'cancelled', usage })
  })

  it('waits for a handler that answers late, and closes that answer', async () => {
    const bodyClosed = Promise.withResolvers<void>()
    const { gateway } = await sessionPair({
      handler: async (request, exchange) => {
        await new Promise((resolve) => request.signal.addEventListener('abort', resolve))
        await new Promise((resolve) => setTimeout(resolve, 5))
        exchange.reportUsage(usage)
        return new Response(new ReadableStream({ cancel: () => bodyClosed.resolve() }))
      },
    })
    const exchange = gateway.open(get)
    await new Promise((resolve) => setTimeout(resolve, 10))
    exchange.cancel('too slow')
    await expect(exchange.head).rejects.toMatchObject({ code: 'CANCEL' })
    expect(await exchange.settled).toEqual({ outcome: 'cancelled', usage })
    await bodyClosed.promise
  })

  it('is told no failure when the handler throws because it was stopped', async () => {
    const errors: string[] = []
    const { gateway } = await sessionPair({
      log: { ...silentLog, error: (event) => errors.push(event) },
      handler: (request) =>
        new Promise((_, reject) => {
          request.signal.addEventListener('abort', () => reject(request.signal.reason))
        }),
    })
    const exchange = gateway.open(get)
    await new Promise((resolve) => setTimeout(resolve, 10))
    exchange.cancel('enough')
    expect(await exchange.settled).toEqual({ outcome: 'cancelled', usage: nothing })
    expect(errors).toEqual([])
  })

  it('settles though the handler never stops, and frees its stream', async () => {
    const { gateway, backend } = await sessionPair({
      timing: quickTiming,
      handler: (_request, exchange) => {
        exchange.reportUsage(usage)
        return new Promise(() => {})
      },
    })
    const exchange = gateway.open(get)
    await new Promise((resolve) => setTimeout(resolve, 10))
    exchange.cancel('enough')
    expect(await exchange.settled).toEqual({ outcome: 'cancelled', usage })
    expect(backend.openStreams).toBe(0)
  })

  it('gives the count up when the backend does not answer the cancel in time', async () => {
    const { gateway, toGateway } = await sessionPair({
      timing: quickTiming,
      handler: async (request, exchange) => endless(request, exchange),
    })
    const exchange = gateway.open(get)
    await exchange.head
    toGateway.isBlocked = true
    exchange.cancel('enough')
    expect(await exchange.settled).toEqual({ outcome: 'cancelled', usage: null })
    // What comes late is dropped, and the connection lives.
    toGateway.unblock()
    const next = gateway.open(get)
    expect((await next.head).status).toBe(200)
  })

  it('was never sent, if its OPEN still waited', async () => {
    let numCalls = 0
    const { gateway } = await sessionPair({
      handler: async () => {
        numCalls++
        return new Response('ok')
      },
    })
    const exchange = gateway.open(get)
    exchange.cancel('at once')
    await expect(exchange.head).rejects.toMatchObject({ code: 'CANCEL', mayHaveRun: false })
    expect(await exchange.settled).toEqual({ outcome: 'cancelled', usage: null })
    expect(await gateway.open(get).settled).toMatchObject({ outcome: 'completed' })
    expect(numCalls).toBe(1)
  })

  it('stays completed when the cancel comes after the end', async () => {
    const { gateway } = await sessionPair({ handler: async () => new Response('ok') })
    const exchange = gateway.open(get)
    await exchange.settled
    exchange.cancel('too late')
    expect(await new Response(exchange.body).text()).toBe('ok')
    expect(await exchange.settled).toMatchObject({ outcome: 'completed' })
  })
})

describe('a lost connection', () => {
  it('fails what is open, aborts the handlers, and refuses what comes after', async () => {
    let signal: AbortSignal | undefined
    const { gateway, backend, toBackend } = await sessionPair({
      handler: async (request, exchange) => {
        signal = request.signal
        return endless(request, exchange)
      },
    })
    const exchange = gateway.open(get)
    await exchange.head
    // A full transport: this OPEN never leaves.
    toBackend.bufferedBytes = 2 * limits.transportHighWaterBytes
    const unsent = gateway.open(get)
    await new Promise((resolve) => setTimeout(resolve, 5))
    gateway.transportClosed(1006, 'cut')
    backend.transportClosed(1006, 'cut')

    const lost = { outcome: 'failed', usage: null, errorCode: 'CONNECTION_LOST' }
    expect(await exchange.settled).toEqual(lost)
    const reader = exchange.body.getReader()
    const readAll = async () => {
      while (!(await reader.read()).done);
    }
    await expect(readAll()).rejects.toMatchObject({ code: 'CONNECTION_LOST', mayHaveRun: true })
    expect(signal?.aborted).toBe(true)
    await expect(unsent.head).rejects.toMatchObject({ mayHaveRun: false })
    await expect(gateway.open(get).head).rejects.toMatchObject({
      code: 'CONNECTION_LOST',
      mayHaveRun: false,
    })
    expect([gateway.openStreams, backend.openStreams]).toEqual([0, 0])
  })
})

describe('draining', () => {
  it('lets what runs finish, refuses the new, and closes with 1000', async () => {
    const release = Promise.withResolvers<void>()
    const { gateway, backend } = await sessionPair({
      handler: async () => {
        await release.promise
        return new Response('finished')
      },
    })
    const running = gateway.open(get)
    await new Promise((resolve) => setTimeout(resolve, 5))
    const drained = backend.drain(1_000)
    const refused = gateway.open(get)
    await expect(refused.head).rejects.toMatchObject({ code: 'REFUSED', mayHaveRun: false })
    release.resolve()
    expect(await new Response(running.body).text()).toBe('finished')
    await drained
    expect(await gateway.closed).toMatchObject({ code: closeCodes.NORMAL, by: 'peer' })
  })

  it('gives up what does not finish within the grace', async () => {
    const { gateway, backend } = await sessionPair({ handler: () => new Promise(() => {}) })
    const running = gateway.open(get)
    await new Promise((resolve) => setTimeout(resolve, 5))
    await backend.drain(20)
    expect(await running.settled).toMatchObject({ errorCode: 'CONNECTION_LOST' })
  })
})
