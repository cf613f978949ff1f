/** 10,000 times a backend comes and goes. */
import { setTimeout as sleep } from 'node:timers/promises'
import { BenchProcess } from '../bench-process.ts'
import type { FigureRow } from '../figures.ts'
import type { GatewaySettings, GatewaySide } from '../processes/gateway-side.ts'
import type { ManyBackendsSettings } from '../processes/many-backends.ts'
import { change } from './streaming-system.ts'

const numBackends = 20
const cycles = 500
const warmUpCycles = 100

export const reconnects = async (): Promise<FigureRow[]> => {
  const execArgv = ['--expose-gc']
  const gatewaySettings: GatewaySettings = { numBackends }
  const gateway = await BenchProcess.script<GatewaySide>('gateway-side', gatewaySettings, execArgv)
  const { port, backendTokens: tokens } = gateway.details
  const settings: ManyBackendsSettings = { port, tokens }
  const backends = await BenchProcess.script('many-backends', settings, execArgv)
  await backends.ask({ cycles: warmUpCycles })
  await sleep(1_000)
  const gatewayBefore = await gateway.resources()
  const backendsBefore = await backends.resources()
  const startedAt = performance.now()
  await backends.ask({ cycles })
  const seconds = (performance.now() - startedAt) / 1_000
  await sleep(1_000)
  const gatewayAfter = await gateway.resources()
  const backendsAfter = await backends.resources()
  await backends.stop()
  await gateway.stop()
  const total = numBackends * cycles
  return [
    [
      `${total} reconnects (${(total / seconds).toFixed(0)} a second), gateway`,
      change(gatewayBefore, gatewayAfter),
    ],
    ['the same, backends', change(backendsBefore, backendsAfter)],
  ]
}
