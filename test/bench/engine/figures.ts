/** The figures by which systems are compared. */
import type { Measured, Scenario } from './workload.ts'

export type Figure = {
  readonly name: string
  readonly scenario: Scenario
  readonly isBetter: 'higher' | 'lower'
  readonly digits: number
  readonly valuesOf: (measured: Measured) => readonly number[]
}

const higher = (
  name: string,
  scenario: Scenario,
  valuesOf: Figure['valuesOf'],
  digits = 1,
): Figure => ({ name, scenario, isBetter: 'higher', digits, valuesOf })

const lower = (name: string, scenario: Scenario, valueOf: (m: Measured) => number): Figure => ({
  name,
  scenario,
  isBetter: 'lower',
  digits: 0,
  valuesOf: (measured) => [valueOf(measured)],
})

/** By which settings of one system are chosen. */
export const briefFigures: readonly Figure[] = [
  higher('decode, 1 sequence, tokens/s', 'brief', (m) => m.decodeTokensPerSecond),
  higher('prefill of 512, tokens/s', 'brief', (m) => m.prefillMs.map((ms) => 512_000 / ms), 0),
  lower('load, ms', 'brief', (m) => m.loadMs),
  lower('resident, used by 1, MiB', 'brief', (m) => m.used.residentMib),
]

export const figures: readonly Figure[] = [
  higher('decode, 1 sequence, tokens/s', 'one', (m) => m.decodeTokensPerSecond),
  higher('decode, 16 sequences, tokens/s', 'sixteen', (m) => m.decodeTokensPerSecond),
  higher('with prompts of 128, 1 sequence, tokens/s', 'one', (m) => m.wholeTokensPerSecond),
  higher('with prompts of 128, 16 sequences, tokens/s', 'sixteen', (m) => m.wholeTokensPerSecond),
  higher('prefill of 512, tokens/s', 'one', (m) => m.prefillMs.map((ms) => 512_000 / ms), 0),
  lower('load, ms', 'one', (m) => m.loadMs),
  lower('process start to first token, ms', 'one', (m) => m.firstTokenMs),
  lower('resident, loaded for 1, MiB', 'one', (m) => m.loaded.residentMib),
  lower('resident, used by 1, MiB', 'one', (m) => m.used.residentMib),
  lower('of that anonymous, MiB', 'one', (m) => m.used.anonymousMib),
  lower('resident, loaded for 16, MiB', 'sixteen', (m) => m.loaded.residentMib),
  lower('resident, used by 16, MiB', 'sixteen', (m) => m.used.residentMib),
  lower('of that anonymous, MiB', 'sixteen', (m) => m.used.anonymousMib),
]
