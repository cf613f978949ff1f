/** The figures by which systems are compared. */
import type { Loaded } from './take-turns.ts'
import type { Memory } from './process-memory.ts'
import type { Scenario, Work } from './workload.ts'

/** Of one process. */
export type Measured = {
  readonly loaded: Loaded
  /** Tokens a second of each turn. */
  readonly speeds: ReadonlyMap<Work, readonly number[]>
  /** After all its turns. */
  readonly used: Memory
}

export type Figure = {
  readonly name: string
  readonly scenario: Scenario
  readonly isBetter: 'higher' | 'lower'
  readonly digits: number
  /** As many of each system, in the order of their turns. */
  readonly valuesOf: (measured: Measured) => readonly number[]
}

const speed = (name: string, scenario: Scenario, work: Work, digits: number): Figure => ({
  name,
  scenario,
  isBetter: 'higher',
  digits,
  valuesOf: ({ speeds }) => speeds.get(work) ?? [],
})

const lower = (name: string, scenario: Scenario, valueOf: (m: Measured) => number): Figure => ({
  name,
  scenario,
  isBetter: 'lower',
  digits: 0,
  valuesOf: (measured) => [valueOf(measured)],
})

export const figures: readonly Figure[] = [
  speed('decode, 1 sequence, tokens/s', 'one', 'decode', 1),
  speed('decode, 16 sequences, tokens/s', 'sixteen', 'decodeMany', 1),
  speed('prefill of 512, tokens/s', 'one', 'prefill', 0),
  lower('load, ms', 'one', (m) => m.loaded.loadMs),
  lower('process start to first token, ms', 'one', (m) => m.loaded.firstTokenMs),
  lower('resident, loaded for 1, MiB', 'one', (m) => m.loaded.memory.residentMib),
  lower('resident, used by 1, MiB', 'one', (m) => m.used.residentMib),
  lower('of that anonymous, MiB', 'one', (m) => m.used.anonymousMib),
  lower('resident, loaded for 16, MiB', 'sixteen', (m) => m.loaded.memory.residentMib),
  lower('resident, used by 16, MiB', 'sixteen', (m) => m.used.residentMib),
  lower('of that anonymous, MiB', 'sixteen', (m) => m.used.anonymousMib),
]

/** Those of one sequence. */
export const figuresOfOne = figures.filter(({ scenario }) => scenario === 'one')
