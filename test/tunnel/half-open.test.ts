import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import type { TunnelHandler } from '../../shared/tunnel/exchange.ts'
import { eventually } from '../support/eventually.ts'
import type { Direction } from '../support/relay/relayed-connection.ts'
import { fastTiming, memoryLog, testRequest, until } from '../support/tunnel-pair.ts'
import { dialFor, gatewayFor, relayTo } from './for-one-test.ts'

/** Streams until it is stopped; `running` counts those that were not. */
const endless = () => {
  const state = { running: 0 }
  const handler: TunnelHandler = async (request) => {
    state.running++
    request.signal.addEventListener('abort', () => state.running--)
    return new Response(
      new ReadableStream({
        async pull(controller) {
          await sleep(1)
          controller.enqueue(Uint8Array.of(1))
        },
      }),
    )
  }
  return { state, handler }
}

const threeTimesDark = async (which: readonly Direction[]): Promise<void> => {
  const gateway = await gatewayFor(fastTiming)
  const { relay, url } = await relayTo(gateway)
  const { state, handler } = endless()
  await dialFor({ url, handler, log: memoryLog(), timing: fastTiming }).connected
  for (let i = 0; i < 3; i++) {
    const before = gateway.registry.pick('tiny')
    const exchange = before?.open(testRequest())
    const reader = exchange?.body.getReader()
    await reader?.read()
    relay.blackhole(which)
    expect(await exchange?.settled).toMatchObject({ errorCode: 'CONNECTION_LOST' })
    const readAll = async () => {
      while (!(await reader?.read())?.done);
    }
    await expect(readAll()).rejects.toMatchObject({ code: 'CONNECTION_LOST', mayHaveRun: true })
    await until(() => state.running === 0, 'the work has stopped')
    relay.heal()
    await until(
      () => gateway.registry.backends().length === 1 && gateway.registry.pick('tiny') !== before,
      'exactly one is there, a new one',
    )
    expect(gateway.registry.pick('tiny')?.openStreams).toBe(0)
  }
  expect(relay.numConnections).toBe(4)
  // The sockets that nobody answers on are cut, on both sides.
  await eventually(() => relay.numOpen === 1)
}

it('is found out by both ends, three times in a row, whichever direction went dark, and nothing is left', async () => {
  await Promise.all([
    threeTimesDark(['up']),
    threeTimesDark(['down']),
    threeTimesDark(['up', 'down']),
  ])
})

it('is found out while nothing is open', async () => {
  const gateway = await gatewayFor(fastTiming)
  const { relay, url } = await relayTo(gateway)
  await dialFor({ url, handler: endless().handler, timing: fastTiming }).connected
  for (const which of [['up'], ['down']] as const) {
    const before = gateway.registry.pick('tiny')
    relay.blackhole(which)
    await sleep(20)
    relay.heal()
    await until(() => ![before, null].includes(gateway.registry.pick('tiny')), 'it is back')
    expect(gateway.registry.backends()).toHaveLength(1)
  }
})
