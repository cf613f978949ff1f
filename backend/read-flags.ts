/** Reading the values of the backend's flags and variables, with what is wrong with them. */
import { readFlag, type FlagValues } from '../shared/flags.ts'
import { backendFlags } from './flags.ts'

type FlagName = keyof typeof backendFlags

export class FlagReader {
  /** Said to the operator, all together. */
  readonly problems: string[] = []
  readonly #flags: FlagValues
  readonly #env: FlagValues

  constructor(flags: FlagValues, env: FlagValues) {
    this.#flags = flags
    this.#env = env
  }

  /** What flag or variable gives; undefined where neither does. */
  text(name: FlagName): string | undefined {
    return readFlag(backendFlags, name, this.#flags, this.#env)
  }

  /** A whole number from 1 on. */
  count(name: FlagName): number | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    const value = Number(text)
    if (/^\d+$/.test(text) && value >= 1 && value <= 2 ** 31) return value
    this.problems.push(`--${name} must be a whole number from 1 on, not ${text}`)
    return undefined
  }

  choice<T extends string>(name: FlagName, choices: readonly T[]): T | undefined {
    const text = this.text(name)
    const found = choices.find((choice) => choice === text)
    if (text !== undefined && found === undefined) {
      this.problems.push(`--${name} must be one of ${choices.join(', ')}, not ${text}`)
    }
    return found
  }
}
