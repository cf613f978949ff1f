/**
 * Where the time goes on Burrow's sides of the tunnel:
 *
 *   node test/bench/tunnel/profile.ts [--system tunnel] [--scenario 'small JSON, 64'] [--seconds 5]
 *
 * Prints, of each side, the functions with the most time of their own. The profiles themselves are in
 * `.scratch/profiles`, for a browser's developer tools.
 */
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { printTable } from '../engine/statistics.ts'
import { scratchPath } from '../engine/scratch.ts'
import { BenchProcess } from './bench-process.ts'
import { scenarios, type Measured } from './scenarios.ts'
import { systems } from './systems.ts'

/** The part of V8's format that is read here. */
type CpuProfile = {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: {
      readonly functionName: string
      readonly url: string
      readonly lineNumber: number
    }
  }[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

const shownFunctions = 32

const { values } = parseArgs({
  options: {
    system: { type: 'string', default: 'tunnel' },
    scenario: { type: 'string', default: 'small JSON, 64' },
    seconds: { type: 'string', default: '5' },
  },
})

/** Own time by function, ms, the longest first. */
const ownTimes = ({ nodes, samples, timeDeltas }: CpuProfile): [string, number][] => {
  const names = new Map(
    nodes.map(({ id, callFrame: { functionName, url, lineNumber } }) => {
      const file = url.replace(/^file:\/\/.*?\/(gateway|shared|backend|test|node_modules)\//, '$1/')
      return [id, `${functionName || '(anonymous)'} ${file}${file && `:${lineNumber + 1}`}`]
    }),
  )
  const times = new Map<string, number>()
  samples.forEach((id, i) => {
    const name = names.get(id) ?? ''
    times.set(name, (times.get(name) ?? 0) + (timeDeltas[i] ?? 0) / 1_000)
  })
  return [...times].toSorted(([, a], [, b]) => b - a)
}

const folder = scratchPath('profiles', values.system)
rmSync(folder, { recursive: true, force: true })
const start = systems[values.system]
const scenario = scenarios.find(({ name }) => name === values.scenario)
if (!start || !scenario) {
  throw new Error(
    `systems: ${Object.keys(systems).join('; ')}. Scenarios: ${scenarios.map(({ name }) => name).join('; ')}`,
  )
}
const server = await BenchProcess.script<{ port: number }>('tiny-server')
const load = await BenchProcess.script('load')
const { target, sides } = await start(server.details.port, [
  '--cpu-prof',
  `--cpu-prof-dir=${folder}`,
])
const order = { target, scenario: { ...scenario, seconds: Number(values.seconds) } }
const before = sides.map((side) => side.cpuMs())
const measured = await load.ask<Measured>(order)
const cpuMs = sides.map((side, i) => side.cpuMs() - (before[i] ?? 0))
console.log(JSON.stringify(measured))
for (const side of sides.toReversed()) await side.stop()
await load.stop()
await server.stop()

for (const [i, side] of sides.entries()) {
  const file = readdirSync(folder).find((name) => name.includes(`.${side.child.pid}.`))
  if (!file) continue
  const profile: CpuProfile = JSON.parse(readFileSync(join(folder, file), 'utf8'))
  const times = ownTimes(profile).filter(([name]) => !name.startsWith('(idle)'))
  const busyMs = times.reduce((sum, [, ms]) => sum + ms, 0)
  console.log(`${side.child.spawnargs.at(-2)}: ${cpuMs[i]} ms of CPU\n`)
  printTable(
    ['own time, %', 'function'],
    times.slice(0, shownFunctions).map(([name, ms]) => [((ms / busyMs) * 100).toFixed(1), name]),
  )
}
