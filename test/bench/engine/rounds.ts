/**
 * Several systems by short turns, so that what the machine does else meets all alike: their processes live side by
 * side, and whoever has not its turn sleeps. Every other turn goes backwards. Compared are the values of the same turn.
 */
import { figures, type Figure, type Measured } from './figures.ts'
import { median } from './statistics.ts'
import type { SystemProcess } from './system-process.ts'
import { scenarios, type Scenario, type Work } from './workload.ts'

/** Each starts a process. */
export type Systems = Readonly<Record<string, (scenario: Scenario) => Promise<SystemProcess>>>

/** How many times as good one system is as another, in each turn. */
export type Ratios = { readonly median: number; readonly least: number; readonly most: number }

export class Results {
  readonly #measured = new Map<string, Measured[]>()

  add(system: string, scenario: Scenario, measured: Measured): void {
    const key = `${scenario} ${system}`
    this.#measured.set(key, [...(this.#measured.get(key) ?? []), measured])
  }

  /** All values of all rounds. */
  of(system: string, { scenario, valuesOf }: Figure): number[] {
    return (this.#measured.get(`${scenario} ${system}`) ?? []).flatMap((one) => [...valuesOf(one)])
  }

  betterBy(figure: Figure, ours: string, theirs: string): Ratios {
    const others = this.of(theirs, figure)
    const ratios = this.of(ours, figure).map((value, turn) => {
      const other = others[turn] ?? Number.NaN
      return figure.isBetter === 'higher' ? value / other : other / value
    })
    return { median: median(ratios), least: Math.min(...ratios), most: Math.max(...ratios) }
  }
}

type Alive = { readonly name: string; readonly process: SystemProcess }

/** @param turn odd ones go backwards */
const inTurn = <Item>(items: readonly Item[], turn: number): readonly Item[] =>
  turn % 2 === 0 ? items : items.toReversed()

/** Where others compute meanwhile, so many times the turns that are wanted, at most. */
const maxTries = 2

/**
 * Each system's speeds. Turns in which somebody else computed are repeated; those count only where there are not enough
 * without.
 */
const takeTurns = async (
  alive: readonly Alive[],
  work: Work,
  turns: number,
): Promise<ReadonlyMap<string, readonly number[]>> => {
  const quiet: Speeds[] = []
  const disturbed: Speeds[] = []
  for (let turn = 0; quiet.length < turns && turn < turns * maxTries; turn++) {
    const speeds: Speeds = new Map()
    let isDisturbed = false
    for (const { name, process } of inTurn(alive, turn)) {
      const taken = await process.take(work)
      speeds.set(name, taken.speed)
      isDisturbed ||= taken.isDisturbed
      // So that a run which is cut short has told what it knows.
      const remark = taken.isDisturbed ? ', disturbed' : ''
      console.error(`${name}, ${work}: ${taken.speed.toFixed(1)} tokens/s${remark}`)
    }
    ;(isDisturbed ? disturbed : quiet).push(speeds)
  }
  const counted = [...quiet, ...disturbed].slice(0, turns)
  return new Map(
    alive.map(({ name }) => [name, counted.map((speeds) => speeds.get(name) ?? Number.NaN)]),
  )
}

/** Of one turn, by system. */
type Speeds = Map<string, number>

const measureScenario = async (
  systems: Systems,
  scenario: Scenario,
  round: number,
  results: Results,
): Promise<void> => {
  const alive: Alive[] = []
  for (const [name, start] of inTurn(Object.entries(systems), round)) {
    alive.push({ name, process: await start(scenario) })
  }
  const { turns, works } = scenarios[scenario]
  const speeds = new Map<Work, ReadonlyMap<string, readonly number[]>>()
  for (const work of works) speeds.set(work, await takeTurns(alive, work, turns))
  for (const { name, process } of alive) {
    const { loaded } = process
    const ofSystem = new Map(
      [...speeds].map(([work, bySystem]) => [work, bySystem.get(name) ?? []]),
    )
    results.add(name, scenario, { loaded, speeds: ofSystem, used: await process.memory() })
    await process.close()
  }
}

export const measureInRounds = async (
  rounds: number,
  systems: Systems,
  wanted: readonly Scenario[] = ['one', 'sixteen'],
): Promise<Results> => {
  const results = new Results()
  // Once before, for nothing: what is compiled then is there for the others.
  for (const start of Object.values(systems)) await start('one').then((one) => one.close())
  for (let round = 0; round < rounds; round++) {
    for (const scenario of wanted) await measureScenario(systems, scenario, round, results)
  }
  return results
}

/** Medians of all systems, and how much better each is than the first: rows of a table. */
export const compareToFirst = (
  results: Results,
  systems: readonly string[],
  compared: readonly Figure[] = figures,
): string[][] =>
  compared.map((figure) => {
    const columns = systems.map((system, index) => {
      const text = median(results.of(system, figure)).toFixed(figure.digits)
      const ratios = results.betterBy(figure, system, systems[0] ?? '')
      return index === 0 ? text : `${text} (${ratios.median.toFixed(2)}x)`
    })
    return [figure.name, ...columns]
  })
