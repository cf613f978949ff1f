/** How long a dead peer goes unnoticed, with the times that hold in production. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Direction } from '../../../support/relay/relayed-connection.ts'
import { dialTest, memoryLog, startGateway, testRequest } from '../../../support/tunnel-pair.ts'
import { startRelay } from '../../../support/tunnel-relay.ts'
import type { FigureRow } from '../figures.ts'

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`

const measure = async (which: readonly Direction[], isBusy: boolean): Promise<FigureRow> => {
  const gateway = await startGateway()
  const relay = await startRelay(gateway.port)
  const log = memoryLog()
  const tunnel = dialTest({
    url: `ws://127.0.0.1:${relay.port}/tunnel`,
    log,
    // Says its head, and then nothing for ever.
    handler: async () => new Response(new ReadableStream()),
  })
  await tunnel.connected
  const backend = gateway.registry.pick('tiny')
  if (isBusy) await backend?.open(testRequest()).head
  // Into the middle of things: some PINGs have gone by.
  await sleep(5_000 * Math.random())
  relay.blackhole(which)
  const startedAt = performance.now()
  const noticed = { gateway: 0, backend: 0 }
  while (noticed.gateway === 0 || noticed.backend === 0) {
    await sleep(10)
    const now = performance.now() - startedAt
    if (gateway.registry.backends().length === 0) noticed.gateway ||= now
    if (log.lines.some((line) => line.includes('tunnel down'))) noticed.backend ||= now
  }
  await tunnel.close(0)
  await relay.close()
  await gateway.close()
  const what = `a dead peer, ${isBusy ? 'streams open' : 'idle'}, dark ${which.join(' and ')}`
  return [
    what,
    `the gateway knows after ${seconds(noticed.gateway)}, the backend after ${seconds(noticed.backend)}`,
  ]
}

export const deadPeer = (): Promise<FigureRow[]> => {
  const cases = [['up'], ['down'], ['up', 'down']] as const
  return Promise.all(
    [true, false].flatMap((isBusy) => cases.map((which) => measure(which, isBusy))),
  )
}
