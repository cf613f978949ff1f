/** The gateway's settings, from flags and environment. */
import { resolve } from 'node:path'
import { ConfigError } from '../shared/config-error.ts'
import type { TunnelKey } from '../shared/auth/tunnel-key.ts'
import {
  defaultDrainSeconds,
  listItems,
  parseMetricsPort,
  readFlag,
  variableOf,
  type FlagValues,
} from '../shared/flags.ts'
import { readTunnelKeys } from './auth/tunnel-keys.ts'
import { trustedProxyProblem } from './client-address.ts'
import { controlSocketProblem } from './control/socket-path.ts'
import { gatewayFlags } from './flags.ts'
import { parseServiceOrigins, type ServiceOrigins } from './services/service-origins.ts'

export type GatewayConfig = {
  readonly host: string
  /** 0 takes any free port. */
  readonly port: number
  /** The data directory, absolute: database, pepper, control socket. */
  readonly home: string
  /** How long running requests may take when the gateway is stopped. Default 30 s. */
  readonly drainTimeoutMs?: number
  /** Where metrics are fetched, on 127.0.0.1; nowhere without. 0 takes any free port. */
  readonly metricsPort?: number
  /** Any of them lets a backend in that was not enrolled; two while one takes over from the other. */
  readonly tunnelKeys?: readonly TunnelKey[]
  /** Addresses and CIDR ranges of the proxies in front: their X-Forwarded-For is believed. */
  readonly trustedProxies?: readonly string[]
  /** Where exposed services are visited; nowhere without. */
  readonly services?: ServiceOrigins
}

/**
 * Reads the settings: a flag (`host`, `port`, `home`), else its variable (`BURROW_HOST`, …), else
 * the default. @throws ConfigError with all problems together
 */
export const parseGatewayConfig = (flags: FlagValues, env: FlagValues): GatewayConfig => {
  const problems: string[] = []
  const setting = (name: 'host' | 'port' | 'home'): { value: string; source: string } => {
    const variable = variableOf(name)
    const flag = flags[name]
    if (flag !== undefined) return { value: flag, source: `--${name}` }
    // An empty variable is the shell's way to say unset.
    return { value: env[variable] || gatewayFlags[name].fallback, source: variable }
  }

  const host = setting('host')
  if (!/^[\w.:-]+$/.test(host.value)) {
    problems.push(`${host.source} must be an address such as 127.0.0.1, not "${host.value}"`)
  }
  const port = setting('port')
  if (!/^\d{1,5}$/.test(port.value) || Number(port.value) > 65535) {
    problems.push(`${port.source} must be a number from 0 to 65535, not "${port.value}"`)
  }
  const home = setting('home')
  if (home.value === '') problems.push(`${home.source} must name a directory`)
  const socketProblem = controlSocketProblem(resolve(home.value))
  if (socketProblem) problems.push(`${home.source}: ${socketProblem}`)

  const tunnelKeys = readTunnelKeys(env['BURROW_TUNNEL_KEY'], problems)
  const trustedProxies = listItems(readFlag(gatewayFlags, 'trusted-proxy', flags, env))
  const proxyProblem = trustedProxyProblem(trustedProxies)
  if (proxyProblem) problems.push(`--trusted-proxy: ${proxyProblem}`)
  const services = parseServiceOrigins(
    readFlag(gatewayFlags, 'service-domain', flags, env),
    listItems(readFlag(gatewayFlags, 'service-port', flags, env)),
    problems,
  )
  const drainTimeoutMs = readDrainTimeout(flags, env, problems)
  const metricsPort = parseMetricsPort(readFlag(gatewayFlags, 'metrics-port', flags, env), problems)
  if (problems.length > 0) throw new ConfigError(problems)
  return {
    host: host.value,
    port: Number(port.value),
    home: resolve(home.value),
    drainTimeoutMs,
    tunnelKeys,
    trustedProxies,
    services,
    ...(metricsPort !== undefined && { metricsPort }),
  }
}

/** @param fallbackSeconds where it is not given */
export const readDrainTimeout = (
  flags: FlagValues,
  env: FlagValues,
  problems: string[],
  fallbackSeconds = defaultDrainSeconds,
): number => {
  const text = readFlag(gatewayFlags, 'drain-timeout', flags, env) ?? String(fallbackSeconds)
  const seconds = Number(text)
  if (/^\d+$/.test(text) && seconds <= maxDrainSeconds) return seconds * 1000
  problems.push(`--drain-timeout must be a number of seconds up to ${maxDrainSeconds}, not ${text}`)
  return 0
}

/** A day: longer ones overflow the timers of Node. */
const maxDrainSeconds = 86_400
