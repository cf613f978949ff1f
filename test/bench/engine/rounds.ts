/** Several systems by turns, each in a process of its own, so that what the machine does else meets all alike. */
import { figures, type Figure } from './figures.ts'
import { median } from './statistics.ts'
import type { Measured, Scenario } from './workload.ts'

export type Systems = Readonly<Record<string, (scenario: Scenario) => Promise<Measured>>>

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
}

export const measureInRounds = async (
  rounds: number,
  systems: Systems,
  scenarios: readonly Scenario[] = ['one', 'sixteen'],
): Promise<Results> => {
  const results = new Results()
  for (let round = 0; round < rounds; round++) {
    for (const scenario of scenarios) {
      for (const [name, measure] of Object.entries(systems)) {
        const measured = await measure(scenario)
        results.add(name, scenario, measured)
        // So that a run which is cut short has told what it knows.
        const speed = median(measured.decodeTokensPerSecond).toFixed(1)
        const at = `round ${round + 1} of ${rounds}: ${name}, ${scenario}`
        console.error(`${at}: decode ${speed} tokens/s, loaded in ${measured.loadMs.toFixed(0)} ms`)
      }
    }
  }
  return results
}

/** How many times as good `ours` is. */
export const betterBy = ({ isBetter }: Figure, ours: number, theirs: number): string =>
  `${(isBetter === 'higher' ? ours / theirs : theirs / ours).toFixed(2)}x`

/** Medians of all systems, and how much better each is than the first: rows of a table. */
export const compareToFirst = (
  results: Results,
  systems: readonly string[],
  compared: readonly Figure[] = figures,
): string[][] =>
  compared.map((figure) => {
    const medians = systems.map((system) => median(results.of(system, figure)))
    const columns = medians.map((value, index) => {
      const text = value.toFixed(figure.digits)
      return index === 0 ? text : `${text} (${betterBy(figure, value, medians[0] ?? 0)})`
    })
    return [figure.name, ...columns]
  })
