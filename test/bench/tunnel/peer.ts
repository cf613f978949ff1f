/**
 * Burrow's tunnel against frp and the direct connection, on one machine, by turns:
 *
 *   node test/bench/tunnel/peer.ts [--rounds 5] [--systems REGEX] [--scenarios REGEX]
 *
 * Builds frp into `.scratch/` first (needs Go). Every system stands in front of the same answers and
 * gets the same requests from one load generator; what a row shows is the median of the rounds.
 */
import { parseArgs } from 'node:util'
import { median, printTable } from '../engine/statistics.ts'
import { BenchProcess } from './bench-process.ts'
import { buildFrp } from './frp.ts'
import { scenarios, type Measured as Loaded, type Order } from './scenarios.ts'
import { systems, type System } from './systems.ts'

type Measured = Loaded & {
  /** Used by both sides together. */
  readonly cpuMs: number
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    systems: { type: 'string', default: '' },
    scenarios: { type: 'string', default: '' },
  },
})

const chosenScenarios = scenarios.filter(({ name }) => new RegExp(values.scenarios).test(name))
const chosenSystems = Object.entries(systems).filter(([name]) =>
  new RegExp(values.systems).test(name),
)

buildFrp()
const server = await BenchProcess.script<{ port: number }>('tiny-server')
const load = await BenchProcess.script('load')
const running = new Map<string, System>()
for (const [name, start] of chosenSystems) running.set(name, await start(server.details.port))

// So that all code is compiled before anything counts.
for (const { target } of running.values()) {
  for (const scenario of chosenScenarios) {
    const seconds = Math.min(1, scenario.seconds)
    await load.ask<Loaded>({ scenario: { ...scenario, seconds }, target })
  }
}

/** Of each scenario and system, one a round. */
const results = new Map<string, Measured[]>()
const rounds = Number(values.rounds)
for (let round = 0; round < rounds; round++) {
  for (const scenario of chosenScenarios) {
    for (const [name, { target, sides }] of running) {
      const order: Order = { scenario, target }
      const cpuMs = () => sides.reduce((sum, side) => sum + side.cpuMs(), 0)
      const before = cpuMs()
      const measured = { ...(await load.ask<Loaded>(order)), cpuMs: cpuMs() - before }
      const key = `${scenario.name}/${name}`
      results.set(key, [...(results.get(key) ?? []), measured])
    }
  }
  console.error(`round ${round + 1} of ${rounds}`)
}

const columns =
  (digits: number, value: (measured: Measured) => number): ((key: string) => string) =>
  (key) =>
    median((results.get(key) ?? []).map(value)).toFixed(digits)

for (const scenario of chosenScenarios) {
  const shown: Record<string, (key: string) => string> =
    scenario.ask.kind === 'json'
      ? {
          'p50, ms': columns(3, (m) => m.latencyP50),
          'p99, ms': columns(3, (m) => m.latencyP99),
          'requests/s': columns(0, (m) => m.requestsPerSecond),
          'CPU a request, µs': columns(0, (m) => (m.cpuMs / m.numRequests) * 1e3),
        }
      : scenario.ask.kind === 'events'
        ? {
            'events/s': columns(0, (m) => m.eventsPerSecond),
            'gap p50, ms': columns(2, (m) => m.gapP50),
            'gap p99, ms': columns(2, (m) => m.gapP99),
            'CPU an event, µs': columns(1, (m) => (m.cpuMs / m.numEvents) * 1e3),
          }
        : {
            'MB/s': columns(0, (m) => m.bytesPerSecond / 1e6),
            'CPU a MB, ms': columns(2, (m) => m.cpuMs / (m.numBytes / 1e6)),
          }
  printTable(
    [scenario.name, ...Object.keys(shown)],
    [...running.keys()].map((name) => [
      name,
      ...Object.values(shown).map((show) => show(`${scenario.name}/${name}`)),
    ]),
  )
}
printTable(
  ['memory, MiB', 'public side', 'peak', 'behind the NAT', 'peak'],
  [...running].map(([name, { sides }]) => [
    name,
    ...sides.flatMap((side) => Object.values(side.memory()).map((mib) => mib.toFixed(0))),
  ]),
)

for (const { sides } of running.values()) for (const side of sides.toReversed()) await side.stop()
await load.stop()
await server.stop()
