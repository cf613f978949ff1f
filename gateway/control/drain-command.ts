/** `burrow drain [BACKEND]`: whom it asks, and what it prints. */
import { resolve } from 'node:path'
import { ConfigError } from '../../shared/config-error.ts'
import { readFlag, type FlagValues } from '../../shared/flags.ts'
import { readDrainTimeout } from '../config.ts'
import { gatewayFlags } from '../flags.ts'
import { drainBackendOfGateway, drainRunningGateway } from './drain-running.ts'

export type DrainOutcome = {
  readonly text: string
  /** Whether every request has finished. */
  readonly isWhole: boolean
}

/** Of the backends that run in a data directory by themselves; null when none does. */
export type DrainBackends = (
  home: string,
  timeoutMs: number,
) => Promise<{ readonly backends: number; readonly cut: number } | null>

/** Nobody who wants nothing to be lost should have to say so; and nobody waits for ever. */
const defaultSeconds = 600

/**
 * Drains what runs in the data directory: the gateway, else the backends; or one backend of the gateway.
 * Waits for the end.
 * @param words what is no flag: perhaps a backend's id or name
 * @throws Error that says what is wrong
 */
export const drainCommand = async (
  words: readonly string[],
  flags: FlagValues,
  env: FlagValues,
  drainBackends: DrainBackends,
): Promise<DrainOutcome> => {
  const [backend, ...more] = words
  if (more.length > 0) throw new Error('burrow drain takes one BACKEND at most: see burrow --help')
  const home = resolve(readFlag(gatewayFlags, 'home', flags, env) ?? gatewayFlags.home.fallback)
  const problems: string[] = []
  const timeoutMs = readDrainTimeout(flags, env, problems, defaultSeconds)
  if (problems.length > 0) throw new ConfigError(problems)
  return backend === undefined
    ? drainAll(home, timeoutMs, drainBackends)
    : drainOne(home, backend, timeoutMs)
}

const drainAll = async (
  home: string,
  timeoutMs: number,
  drainBackends: DrainBackends,
): Promise<DrainOutcome> => {
  const gateway = await drainRunningGateway(home, timeoutMs)
  if (gateway) return outcome('The gateway', gateway.cut)
  const drained = await drainBackends(home, timeoutMs)
  if (drained) {
    const { backends, cut } = drained
    return outcome(backends === 1 ? 'The backend' : `${backends} backends`, cut)
  }
  throw new Error(
    `nothing runs in ${home}: give the --home of the gateway or backend that is to drain`,
  )
}

const outcome = (what: string, cut: number): DrainOutcome => ({
  isWhole: cut === 0,
  text:
    cut === 0
      ? `${what} finished all requests and ended.`
      : `${what} ended. Time was up: ${requests(cut)} cut, and told so.`,
})

const drainOne = async (
  home: string,
  backend: string,
  timeoutMs: number,
): Promise<DrainOutcome> => {
  const drained = await drainBackendOfGateway(home, backend, timeoutMs)
  if (!drained) {
    throw new Error(
      `no gateway runs in ${home}: give its --home, or run \`burrow drain\` on the backend's machine`,
    )
  }
  const { name, running } = drained
  return {
    isWhole: running === 0,
    text:
      running === 0
        ? `${name} finished all requests and gets no more. Stop it now; started again, it serves.`
        : `${name} gets no more requests. Time was up: it still has ${running}.`,
  }
}

const requests = (count: number): string =>
  count === 1 ? '1 request was' : `${count} requests were`
