import { describe, expect, it } from 'vitest'
import type { OpenRequest, TunnelHandler } from '../../../shared/tunnel/exchange.ts'
import { limits } from '../../../shared/tunnel/limits.ts'
import { sessionPair, turns } from '../../support/tunnel-memory.ts'
import { get } from './exchanges.ts'

const bytes = (text: string) => new TextEncoder().encode(text)

/** A side of a conversation that is written by hand. */
const writable = () => {
  const { readable, writable: sink } = new TransformStream<Uint8Array, Uint8Array>()
  const writer = sink.getWriter()
  return {
    readable,
    write: (text: string) => writer.write(bytes(text)),
    close: () => writer.close(),
  }
}

const upgrade = (body: ReadableStream<Uint8Array> | null): OpenRequest => ({
  ...get,
  headers: new Headers({ 'sec-websocket-key': 'abc' }),
  service: 'notebook',
  upgrade: 'websocket',
  body,
})

/** Sends back what comes, until the client's side ends. */
const echo: TunnelHandler = async (request, { upgradedBody }) => {
  if (!upgradedBody) throw new Error('no upgrade')
  const headers = new Headers({
    'sec-websocket-accept': request.headers.get('sec-websocket-key') ?? '',
  })
  return { status: 101, headers, body: upgradedBody }
}

describe('an upgraded stream', () => {
  it('carries bytes both ways, and is over when both sides have ended', async () => {
    const { gateway, backend } = await sessionPair({ handler: echo })
    const client = writable()
    const exchange = gateway.open(upgrade(client.readable))
    const head = await exchange.head
    expect([head.status, head.headers.get('sec-websocket-accept')]).toEqual([101, 'abc'])
    const reader = exchange.body.getReader()
    for (const text of ['ping', 'pong', 'x'.repeat(30_000)]) {
      void client.write(text)
      let seen = ''
      while (seen.length < text.length) {
        seen += new TextDecoder().decode((await reader.read()).value)
      }
      expect(seen).toBe(text)
    }
    expect(gateway.openStreams).toBe(1)
    void client.close()
    expect((await reader.read()).done).toBe(true)
    expect(await exchange.settled).toMatchObject({ outcome: 'completed' })
    expect([gateway.openStreams, backend.openStreams]).toEqual([0, 0])
  })

  it('lets the client go on after the backend has ended its side', async () => {
    const seen = Promise.withResolvers<string>()
    const { gateway, backend } = await sessionPair({
      handler: async (_request, { upgradedBody }) => {
        void new Response(upgradedBody).text().then(seen.resolve)
        return { status: 101, headers: new Headers(), body: new Response('bye').body ?? never() }
      },
    })
    const client = writable()
    const exchange = gateway.open(upgrade(client.readable))
    expect(await new Response(exchange.body).text()).toBe('bye')
    await turns()
    expect([gateway.openStreams, backend.openStreams]).toEqual([1, 1])
    void client.write('still here')
    void client.close()
    expect(await seen.promise).toBe('still here')
    expect(await exchange.settled).toMatchObject({ outcome: 'completed' })
    await turns()
    expect([gateway.openStreams, backend.openStreams]).toEqual([0, 0])
  })

  it('is over when the backend has ended and does not listen any more', async () => {
    const { gateway } = await sessionPair({
      handler: async (_request, { upgradedBody }) => {
        await upgradedBody?.cancel()
        return { status: 101, headers: new Headers(), body: new Response('bye').body ?? never() }
      },
    })
    const cancelled = Promise.withResolvers<unknown>()
    const source = new ReadableStream<Uint8Array>({ cancel: cancelled.resolve })
    const exchange = gateway.open(upgrade(source))
    expect(await new Response(exchange.body).text()).toBe('bye')
    expect(await exchange.settled).toMatchObject({ outcome: 'completed' })
    await cancelled.promise
    expect(gateway.counters.resetsReceived).toEqual({ NO_ERROR: 1 })
  })

  it('aborts the work when the client goes, in either half', async () => {
    const signals: AbortSignal[] = []
    const { gateway, backend } = await sessionPair({
      handler: async (request, { upgradedBody }) => {
        signals.push(request.signal)
        const body = request.url.endsWith('half')
          ? (new Response('bye').body ?? never())
          : (upgradedBody ?? never())
        return { status: 101, headers: new Headers(), body }
      },
    })
    const whole = gateway.open(upgrade(new ReadableStream()))
    const half = gateway.open({ ...upgrade(new ReadableStream()), path: '/half' })
    await Promise.all([whole.head, half.head])
    await new Response(half.body).text()
    await turns()
    whole.cancel('gone')
    half.cancel('gone')
    expect((await whole.settled).outcome).toBe('cancelled')
    expect((await half.settled).outcome).toBe('cancelled')
    await turns()
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, true])
    expect([gateway.openStreams, backend.openStreams]).toEqual([0, 0])
  })

  it('is an ordinary exchange where the backend answers otherwise, and then no byte is sent', async () => {
    const cancelled = Promise.withResolvers<unknown>()
    const { gateway } = await sessionPair({
      handler: async (_request, { upgradedBody }) => {
        // The client's side is empty, and ends.
        const seen = upgradedBody ? new Response(upgradedBody).text() : never()
        return new Response(
          new ReadableStream({
            async start(controller) {
              controller.enqueue(bytes(`no: ${await seen}`))
              controller.close()
            },
          }),
          { status: 403 },
        )
      },
    })
    const source = new ReadableStream({
      start: (controller) => controller.enqueue(bytes('early')),
      cancel: cancelled.resolve,
    })
    const exchange = gateway.open(upgrade(source))
    expect((await exchange.head).status).toBe(403)
    expect(await new Response(exchange.body).text()).toBe('no: ')
    expect(await exchange.settled).toMatchObject({ outcome: 'completed' })
    await cancelled.promise
  })

  it('is refused where nobody asked for it', async () => {
    const { gateway } = await sessionPair({
      handler: async () => ({ status: 101, headers: new Headers(), body: new ReadableStream() }),
    })
    expect(await gateway.open(get).settled).toMatchObject({ errorCode: 'INTERNAL' })
    await expect(gateway.open({ ...upgrade(null), method: 'POST' }).head).rejects.toMatchObject({
      code: 'PROTOCOL_ERROR',
      mayHaveRun: false,
    })
  })
})

const never = (): never => {
  throw new Error('unreachable')
}

describe('a streamed request body', () => {
  const post = (body: ReadableStream<Uint8Array>): OpenRequest => ({ ...get, method: 'POST', body })

  const chunks = (count: number, size: number) => {
    let numPulled = 0
    const stream = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          if (numPulled++ === count) controller.close()
          else controller.enqueue(new Uint8Array(size).fill(numPulled))
        },
      },
      { highWaterMark: 0 },
    )
    return { stream, numPulled: () => numPulled }
  }

  it('is read no faster than the backend takes it', async () => {
    const go = Promise.withResolvers<void>()
    const { gateway } = await sessionPair({
      hello: { windowBytes: limits.minWindowBytes },
      handler: async (request) => {
        await go.promise
        return new Response(String((await request.bytes()).byteLength))
      },
    })
    const source = chunks(100, 4_096)
    const exchange = gateway.open(post(source.stream))
    await turns(20)
    expect(source.numPulled()).toBeLessThan(8)
    go.resolve()
    expect(await new Response(exchange.body).text()).toBe('409600')
  })

  it('cancels the exchange when its source fails', async () => {
    const { gateway } = await sessionPair({
      handler: async (request) => new Response(String((await request.bytes()).byteLength)),
    })
    const source = new ReadableStream<Uint8Array>({
      pull(controller) {
        controller.error(new Error('the client hung up'))
      },
    })
    const exchange = gateway.open(post(source))
    expect(await exchange.settled).toMatchObject({ outcome: 'cancelled' })
  })

  it('is told when the exchange ends first, or cannot be sent at all', async () => {
    const { gateway } = await sessionPair({ handler: async () => new Response('no thanks') })
    for (const method of ['POST', 'GET']) {
      const cancelled = Promise.withResolvers<unknown>()
      const source = new ReadableStream<Uint8Array>({ cancel: cancelled.resolve })
      await gateway.open({ ...post(source), method }).settled
      await cancelled.promise
    }
  })

  it('may be longer than 32 MiB for a service, and for nobody else', async () => {
    const { gateway } = await sessionPair({
      handler: async (request) => {
        let numBytes = 0
        for await (const chunk of request.body ?? []) numBytes += chunk.byteLength
        return new Response(String(numBytes))
      },
    })
    const length = 40 * 1024 * 1024
    const source = () => chunks(40, length / 40).stream
    const exchange = gateway.open({ ...post(source()), service: 'notebook' })
    expect(await new Response(exchange.body).text()).toBe(String(length))
    expect(await gateway.open(post(source())).settled).toMatchObject({
      outcome: 'failed',
      errorCode: 'TOO_LARGE',
    })
  })
})
