/** What one client that reads 1 KB/s costs 100 that read as fast as they can. */
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { BenchProcess } from '../bench-process.ts'
import type { FigureRow } from '../figures.ts'
import type { Measured, Scenario } from '../scenarios.ts'
import { change, startStreamingSystem } from './streaming-system.ts'

const scenario: Scenario = {
  name: '100 paced streams',
  ask: { kind: 'events', count: 200, intervalMs: 20 },
  clients: 100,
  seconds: 0,
}
const bytesPerSecond = 1_000
/** Of each kind, by turns. */
const rounds = 3

export const slowReader = async (): Promise<FigureRow[]> => {
  const system = await startStreamingSystem()
  const load = await BenchProcess.script('load')
  const measure = () => load.ask<Measured>({ scenario, target: system.target })
  await measure()
  const before = await system.gateway.resources()
  const backendBefore = await system.backend.resources()
  const gaps = { without: [] as number[], with: [] as number[] }
  let during = before
  for (let round = 0; round < rounds; round++) {
    gaps.without.push((await measure()).gapP99)
    const socket = connect(system.target.port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write(system.request({ kind: 'bulk', bytes: 1024 * 1024 * 1024 }))
    const reading = setInterval(() => socket.read(bytesPerSecond), 1_000)
    gaps.with.push((await measure()).gapP99)
    during = await system.gateway.resources()
    clearInterval(reading)
    socket.destroy()
    await sleep(500)
  }
  const after = await system.gateway.resources()
  const backendAfter = await system.backend.resources()
  await load.stop()
  await system.stop()
  const best = (values: readonly number[]) => Math.min(...values).toFixed(1)
  return [
    ['a slow reader among 100 fast, gateway, while it reads', change(before, during)],
    ['the same, gateway, after it left', change(before, after)],
    ['the same, backend, after it left', change(backendBefore, backendAfter)],
    [
      'p99 between two events of the fast (paced at 20 ms), best of 3',
      `${best(gaps.without)} ms without it, ${best(gaps.with)} ms with it`,
    ],
  ]
}
