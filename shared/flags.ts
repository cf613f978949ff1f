/**
 * Flags of the command line as tables: usage, parsing and the reading of a value all come from one entry.
 * Each side has the table of its own flags.
 */

export type Flag = {
  /** Stands for the value in the usage; a switch has none. */
  readonly value?: string
  readonly help: string
  /** What holds when neither flag nor variable is given, for the usage. */
  readonly fallback?: string
  /** The commands that take it. */
  readonly commands: readonly string[]
  /** May be given several times; the value, the variable's too, is then a list with spaces between. */
  readonly isList?: true
  /** `none`: no variable stands in for it. */
  readonly variable?: 'none'
}

export type FlagTable = Readonly<Record<string, Flag>>

/** Values by the flags' names; switches are `true` or left out. */
export type FlagValues = Readonly<Record<string, string | undefined>>

/** The environment variable of `--max-model-len` is BURROW_MAX_MODEL_LEN. */
export const variableOf = (name: string): string =>
  `BURROW_${name.toUpperCase().replaceAll('-', '_')}`

/** What was given: the flag wins over its variable, and an empty one counts as left out. */
export const readFlag = <Table extends FlagTable>(
  table: Table,
  name: keyof Table & string,
  flags: FlagValues,
  env: FlagValues,
): string | undefined => {
  const variable = table[name]?.variable === 'none' ? undefined : env[variableOf(name)]
  return flags[name] || variable || undefined
}

/** The items of a list flag's value. */
export const listItems = (value: string | undefined): string[] =>
  value?.split(/\s+/).filter((item) => item !== '') ?? []

/** The flags that `command` takes. */
export const flagsOf = (table: FlagTable, command: string): [string, Flag][] =>
  Object.entries(table).filter(([, { commands }]) => commands.includes(command))

/** Both sides keep their files there. */
export const homeFlag = {
  value: 'DIR',
  help: 'the data directory',
  fallback: '.burrow',
  commands: ['up', 'gateway', 'backend', 'keys', 'backends', 'services', 'tunnel', 'drain'],
} as const satisfies Flag

/** What Ctrl-C and SIGTERM allow: service managers and container hosts wait for about as long. */
export const defaultDrainSeconds = 30

/** Whoever stops stops so. */
export const drainTimeoutFlag = {
  value: 'SECONDS',
  help: 'how long running requests may take when it stops; then they are cut',
  fallback: `${defaultDrainSeconds}; of burrow drain 600`,
  commands: ['up', 'gateway', 'backend', 'drain'],
} as const satisfies Flag

/** Each side has metrics of its own. */
export const metricsPortFlag = {
  value: 'PORT',
  help: 'serves /metrics for Prometheus there, on 127.0.0.1 alone',
} as const satisfies Omit<Flag, 'commands'>

/** @returns undefined without one, or when it is none: that is added to the problems */
export const parseMetricsPort = (
  text: string | undefined,
  problems: string[],
): number | undefined => {
  if (text === undefined) return undefined
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65535) return Number(text)
  problems.push(`--metrics-port must be a number from 0 to 65535, not ${text}`)
  return undefined
}

const column = 30

/** `  --port PORT   and its port (BURROW_PORT, 8080)`, one line a flag; shared ones once. */
export const flagUsage = (tables: readonly FlagTable[]): string => {
  const lines = tables.flatMap((table) => Object.entries(table).map(usageLine))
  return [...new Set(lines)].join('')
}

const usageLine = ([name, { value, help, fallback, variable, isList }]: [string, Flag]): string => {
  const form = value === undefined ? `--${name}` : `--${name} ${value}`
  const details = [
    ...(isList ? ['several times'] : []),
    ...(variable === 'none' ? [] : [variableOf(name)]),
    ...(fallback === undefined ? [] : [fallback]),
  ]
  const given = details.length > 0 ? ` (${details.join(', ')})` : ''
  return `  ${form.padEnd(column)} ${help}${given}\n`
}
