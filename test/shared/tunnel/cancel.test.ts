import { describe, expect, it } from 'vitest'
import { silentLog } from '../../support/silent-log.ts'
import { sessionPair } from '../../support/tunnel-memory.ts'
import { endless, get, nothing, quickTiming, usage } from './exchanges.ts'

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
    expect(await exchange.settled).toEqual({ outcome: 'cancelled', usage, isFinal: true })
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
    expect(await exchange.settled).toEqual({ outcome: 'cancelled', usage, isFinal: true })
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
    expect(await exchange.settled).toEqual({ outcome: 'cancelled', usage, isFinal: true })
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
    expect(await exchange.settled).toEqual({ outcome: 'cancelled', usage: nothing, isFinal: true })
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
    expect(await exchange.settled).toEqual({ outcome: 'cancelled', usage, isFinal: true })
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
    expect(await exchange.settled).toEqual({ outcome: 'cancelled', usage: null, isFinal: false })
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
    expect(await exchange.settled).toEqual({ outcome: 'cancelled', usage: null, isFinal: false })
    expect(await gateway.open(get).settled).toMatchObject({ outcome: 'completed' })
    expect(numCalls).toBe(1)
  })

  it('stays completed when the cancel comes after the end', async () => {
    const { gateway } = await sessionPair({ handler: async () => new Response('ok') })
    const exchange = gateway.open(get)
    await exchange.settled
    exchange.cancel('too late')
    expect(await exchange.settled).toMatchObject({ outcome: 'completed' })
    // What it still held is let go.
    await expect(exchange.body.getReader().read()).rejects.toMatchObject({ code: 'CANCEL' })
  })
})
