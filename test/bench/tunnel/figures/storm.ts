/** 1,000 backends lose their connections at once. */
import { setTimeout as sleep } from 'node:timers/promises'
import { startRelay } from '../../../support/tunnel-relay.ts'
import { BenchProcess } from '../bench-process.ts'
import type { FigureRow } from '../figures.ts'
import type { GatewaySettings, GatewaySide } from '../processes/gateway-side.ts'
import type { ManyBackendsSettings } from '../processes/many-backends.ts'
import { change } from './streaming-system.ts'

const numBackends = 1_000
const windowMs = 500

type Storm = {
  readonly seconds: number
  readonly connected: readonly number[]
  readonly dials: number
}

export const storm = async (): Promise<FigureRow[]> => {
  const gatewaySettings: GatewaySettings = { numBackends }
  const execArgv = ['--expose-gc']
  const gateway = await BenchProcess.script<GatewaySide>('gateway-side', gatewaySettings, execArgv)
  const { port, backendTokens: tokens } = gateway.details
  const relay = await startRelay(port)
  const settings: ManyBackendsSettings = { port: relay.port, tokens }
  const backends = await BenchProcess.script('many-backends', settings)
  const numConnected = async (): Promise<number> => {
    const response = await fetch(`http://127.0.0.1:${port}/health`)
    const health: { backends: number } = JSON.parse(await response.text())
    return health.backends
  }
  /** Watches until all are there; how many were, window by window. */
  const allBack = async (): Promise<Storm> => {
    const startedAt = performance.now()
    const dialsBefore = relay.numConnections
    const connected: number[] = []
    for (;;) {
      await sleep(startedAt + (connected.length + 1) * windowMs - performance.now())
      const now = await numConnected()
      connected.push(now)
      if (now === numBackends) break
    }
    const seconds = (performance.now() - startedAt) / 1_000
    return { seconds, connected, dials: relay.numConnections - dialsBefore }
  }
  await backends.ask('stay')
  await allBack()
  const before = await gateway.resources()
  relay.cut()
  const { seconds, connected, dials } = await allBack()
  const after = await gateway.resources()
  await backends.stop()
  await relay.close()
  await gateway.stop()
  const perWindow = connected.map((count, i) => count - (connected[i - 1] ?? 0))
  const most = Math.max(...perWindow.slice(1)) / (windowMs / 1_000)
  return [
    [
      `${numBackends} backends dropped at once`,
      `all back after ${seconds.toFixed(1)} s, ${dials} dials`,
    ],
    ['handshakes a second, at most', most.toFixed(0)],
    [`connected, every ${windowMs} ms`, connected.join(' ')],
    ['the gateway', change(before, after)],
  ]
}
