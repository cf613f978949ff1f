/** Which flags a command takes, and reading them. */
import { parseArgs, type ParseArgsOptionsConfig } from 'node:util'
import { backendFlags } from '../backend/flags.ts'
import { gatewayFlags } from '../gateway/flags.ts'
import { flagsOf, type FlagTable, type FlagValues } from '../shared/flags.ts'

/** Of both sides, which may mean different things by a name: a command takes it from one of them. */
export const flagTables: readonly FlagTable[] = [gatewayFlags, backendFlags]

const flagsFor = (command: string) => flagTables.flatMap((table) => flagsOf(table, command))

type ParsedFlags = { readonly flags: FlagValues; readonly words: readonly string[] }

/** @throws Error that names the wrong flag */
export const parseFlags = (
  command: string,
  args: readonly string[],
  { allowPositionals = false } = {},
): ParsedFlags => {
  const options: ParseArgsOptionsConfig = Object.fromEntries(
    flagsFor(command).map(([name, { value, isList }]) => [
      name,
      { type: value === undefined ? 'boolean' : 'string', multiple: isList === true },
    ]),
  )
  const parsed = parseArgs({ args: [...args], options, strict: true, allowPositionals })
  const flags = Object.entries(parsed.values).map(([name, value]) => {
    const text = Array.isArray(value) ? value.join(' ') : String(value)
    // Mostly a script's variable that was not set: no default is to be guessed for it.
    if (text === '') throw new Error(`--${name} is empty: give a value, or leave it out`)
    return [name, text]
  })
  return { flags: Object.fromEntries(flags), words: parsed.positionals }
}

/** Those of the flags that another command takes too; their variables it inherits. */
export const pickFlags = (flags: FlagValues, command: string): Record<string, string> =>
  Object.fromEntries(
    flagsFor(command).flatMap(([name]) => {
      const value = flags[name]
      return value === undefined ? [] : [[name, value]]
    }),
  )
