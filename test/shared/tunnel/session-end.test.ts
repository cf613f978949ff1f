import { describe, expect, it } from 'vitest'
import { closeCodes } from '../../../shared/tunnel/error.ts'
import { limits } from '../../../shared/tunnel/limits.ts'
import { sessionPair } from '../../support/tunnel-memory.ts'
import { endless, get } from './exchanges.ts'

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

    const lost = { outcome: 'failed', usage: null, isFinal: false, errorCode: 'CONNECTION_LOST' }
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
  it('lets what was opened finish, takes nothing new, and closes with 1000', async () => {
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
    // Opened before the gateway was told: served.
    const crossing = gateway.open(get)
    await new Promise((resolve) => setTimeout(resolve, 10))
    expect([gateway.isDraining, gateway.hasRoom]).toEqual([true, false])
    const refused = gateway.open(get)
    await expect(refused.head).rejects.toMatchObject({ code: 'DRAINING', mayHaveRun: false })
    release.resolve()
    expect(await new Response(running.body).text()).toBe('finished')
    expect(await new Response(crossing.body).text()).toBe('finished')
    await drained
    expect(await gateway.closed).toMatchObject({ code: closeCodes.NORMAL, by: 'peer' })
  })

  it('cuts what does not finish within the grace, and tells its count', async () => {
    const usage = { promptTokens: 3, completionTokens: 4 }
    const { gateway, backend } = await sessionPair({
      handler: (request, exchange) =>
        new Promise((_, reject) => {
          request.signal.addEventListener('abort', () => {
            exchange.reportUsage(usage)
            reject(new Error('cut'))
          })
        }),
    })
    const running = gateway.open(get)
    await new Promise((resolve) => setTimeout(resolve, 5))
    const drained = backend.drain(60_000)
    // Called again, the shorter grace holds.
    void backend.drain(20)
    await drained
    expect(await running.settled).toEqual({
      usage,
      isFinal: true,
      outcome: 'failed',
      errorCode: 'DRAINING',
    })
    await expect(running.head).rejects.toMatchObject({ mayHaveRun: true })
  })

  it('gives up what does not even stop', async () => {
    const { gateway, backend } = await sessionPair({ handler: () => new Promise(() => {}) })
    const running = gateway.open(get)
    await new Promise((resolve) => setTimeout(resolve, 5))
    await backend.drain(20)
    expect(await running.settled).toMatchObject({ outcome: 'failed', isFinal: false })
  })
})
