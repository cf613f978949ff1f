import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { TunnelHandler } from '../../shared/tunnel/exchange.ts'
import { fastTiming, memoryLog, testRequest, until } from '../support/tunnel-pair.ts'
import { dialFor, gatewayFor, ok, relayTo } from './for-one-test.ts'

describe('a connection that breaks', () => {
  const endless: TunnelHandler = async () =>
    new Response(
      new ReadableStream({
        async pull(controller) {
          await sleep(1)
          controller.enqueue(Uint8Array.of(1))
        },
      }),
    )

  it('errors the bodies, settles each exchange once, and stops the handlers', async () => {
    const gateway = await gatewayFor()
    const { relay, url } = await relayTo(gateway)
    const signals: AbortSignal[] = []
    await dialFor({
      url,
      handler: (request, exchange) => {
        signals.push(request.signal)
        return endless(request, exchange)
      },
    }).connected
    const backend = gateway.registry.pick('tiny')
    const exchanges = Array.from({ length: 10 }, () => backend?.open(testRequest()))
    const readers = exchanges.map((exchange) => exchange?.body.getReader())
    for (const reader of readers) await reader?.read()
    relay.cut()
    for (const [i, exchange] of exchanges.entries()) {
      expect(await exchange?.settled).toEqual({
        outcome: 'failed',
        usage: null,
        isFinal: false,
        errorCode: 'CONNECTION_LOST',
      })
      const readAll = async () => {
        while (!(await readers[i]?.read())?.done);
      }
      await expect(readAll()).rejects.toMatchObject({ code: 'CONNECTION_LOST', mayHaveRun: true })
    }
    await until(() => signals.every((signal) => signal.aborted), 'the handlers stop')
    expect(backend?.openStreams).toBe(0)
  })

  it('rejects the head of a request that may have run', async () => {
    const gateway = await gatewayFor()
    const { relay, url } = await relayTo(gateway)
    let numCalls = 0
    await dialFor({
      url,
      handler: () => {
        numCalls++
        return new Promise(() => {})
      },
    }).connected
    const exchange = gateway.registry.pick('tiny')?.open(testRequest('x'))
    await until(() => numCalls === 1, 'it has begun')
    relay.cut()
    await expect(exchange?.head).rejects.toMatchObject({
      code: 'CONNECTION_LOST',
      mayHaveRun: true,
    })
    await expect(exchange?.body.getReader().read()).rejects.toMatchObject({
      code: 'CONNECTION_LOST',
    })
    expect(await exchange?.settled).toMatchObject({ outcome: 'failed' })
    await until(() => gateway.registry.backends().length === 1, 'it is back')
    expect(numCalls).toBe(1)
  })

  it('is found out though its sockets stay open, three times in a row, and nothing is left', async () => {
    const gateway = await gatewayFor(fastTiming)
    const { relay, url } = await relayTo(gateway)
    const log = memoryLog()
    await dialFor({ url, handler: endless, log, timing: fastTiming }).connected
    for (let i = 0; i < 3; i++) {
      const backend = gateway.registry.pick('tiny')
      const exchange = backend?.open(testRequest())
      await exchange?.head
      relay.blackhole()
      expect(await exchange?.settled).toMatchObject({ errorCode: 'CONNECTION_LOST' })
      relay.heal()
      await until(() => ![backend, null].includes(gateway.registry.pick('tiny')), 'it is back')
    }
    expect(log.lines.filter((line) => line.includes('4008'))).toHaveLength(3)
    expect(gateway.registry.backends().map(({ openStreams }) => openStreams)).toEqual([0])
  })

  it('is replaced at once by a new one, while the gateway still believes in the old', async () => {
    const gateway = await gatewayFor()
    const { relay, url } = await relayTo(gateway)
    await dialFor({ url, handler: ok, timing: fastTiming }).connected
    const old = gateway.registry.pick('tiny')
    relay.blackhole()
    // Only the backend's clock is fast: the gateway hears of it by the new connection.
    await sleep(fastTiming.idleSilenceMs + 50)
    relay.heal()
    await until(() => gateway.registry.pick('tiny') !== old, 'the new one is there')
    await expect(old?.open(testRequest()).head).rejects.toMatchObject({ mayHaveRun: false })
    const exchange = gateway.registry.pick('tiny')?.open(testRequest())
    expect(await new Response(exchange?.body ?? null).text()).toBe('ok')
  })

  it('is not mistaken for dead while it is full of data', async () => {
    const gateway = await gatewayFor(fastTiming)
    await dialFor({
      url: gateway.url,
      timing: fastTiming,
      handler: async (request) => new Response(request.body),
    }).connected
    const backend = gateway.registry.pick('tiny')
    const body = new Uint8Array(6 * 1024 * 1024)
    const outcomes = await Promise.all(
      Array.from({ length: 8 }, async () => {
        const exchange = backend?.open(testRequest(body))
        const { byteLength } = await new Response(exchange?.body ?? null).bytes()
        return byteLength
      }),
    )
    expect(new Set(outcomes)).toEqual(new Set([body.byteLength]))
  })
})
