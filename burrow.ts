/** The command line: reads flags and wires the two sides, each loaded only where it is needed. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs, type ParseArgsOptionsConfig } from 'node:util'
import { backendFlags } from './backend/flags.ts'
import { announcement } from './gateway/announcement.ts'
import { gatewayFlags } from './gateway/flags.ts'
import { drainMessage, LocalBackend, type FromLocalBackend } from './gateway/local-backend.ts'
import type { Gateway } from './gateway/node.ts'
import { stopSignals, type Stop } from './gateway/stop-signals.ts'
import { flagsOf, flagUsage, type FlagTable, type FlagValues } from './shared/flags.ts'
import type { ScrapeListener } from './scrape-listener.ts'
import { lineLog } from './shared/log.ts'

/** Of both sides, which may mean different things by a name: a command takes it from one of them. */
const flagTables: readonly FlagTable[] = [gatewayFlags, backendFlags]

const flagsFor = (command: string) => flagTables.flatMap((table) => flagsOf(table, command))

const usage = `Usage: burrow <command> [flags]

  up          gateway and backend on this machine (npm start)
  gateway     the gateway alone
  backend     a backend alone: --gateway wss://HOST/tunnel, with BURROW_TOKEN or BURROW_TUNNEL_KEY
  shard       MODEL --out DIR: converts a model ahead of serving; --verify DIR checks it
  keys        create --name NAME | list | revoke ID         API keys of clients
  drain       [BACKEND]: what runs in the data directory finishes and ends; or one backend of its gateway
  tunnel      status: the connections of what runs in the data directory, or of --gateway
  backends    enroll --name NAME [--model NAME]… | list | revoke ID
  services    grant NAME [--expires TIME] | list | revoke ID     who may visit exposed services

Flags, each with its environment variable and what holds without:
${flagUsage(flagTables)}  --help, --version

Only as variables: BURROW_TUNNEL_KEY, which lets backends in that were not enrolled (the same on both sides; a
gateway may have two, with a comma); https_proxy and no_proxy, for a backend's way to its gateway.
`

const burrowJs = fileURLToPath(new URL('./burrow.js', import.meta.url))

const log = lineLog((line) => process.stderr.write(`${line}\n`))

const main = async (args: readonly string[]): Promise<void> => {
  const [command = '--help', ...rest] = args.includes('--help') ? [] : args
  switch (command) {
    case 'up':
      return up(parseFlags('up', rest).flags)
    case 'gateway':
      return runGateway(parseFlags('gateway', rest).flags)
    case 'backend':
      return runBackend(parseFlags('backend', rest).flags)
    case 'shard': {
      const { flags, words } = parseFlags('shard', rest, { allowPositionals: true })
      return shard(flags, words)
    }
    case 'keys':
    case 'backends':
    case 'services': {
      const { flags, words } = parseFlags(command, rest, { allowPositionals: true })
      const { administer } = await import('./gateway/control/administer.ts')
      process.stdout.write(`${await administer(command, words, flags, process.env)}\n`)
      return undefined
    }
    case 'drain': {
      const { flags, words } = parseFlags('drain', rest, { allowPositionals: true })
      return drainRunning(flags, words)
    }
    case 'tunnel': {
      const { flags, words } = parseFlags('tunnel', rest, { allowPositionals: true })
      return tellOfTunnel(flags, words)
    }
    case '--help':
    case 'help':
      process.stdout.write(usage)
      return undefined
    case '--version':
      process.stdout.write(`burrow ${version()}, node ${process.versions.node}\n`)
      return undefined
    default:
      throw new Error(`unknown command ${command}: see burrow --help`)
  }
}

type ParsedFlags = { readonly flags: FlagValues; readonly words: readonly string[] }

/** @throws Error that names the wrong flag */
const parseFlags = (
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

/** Gateway and backend child, joined by the tunnel over a real socket. */
const up = async (flags: FlagValues): Promise<void> => {
  const { parseModelConfig } = await import('./backend/config.ts')
  const { parseGatewayConfig } = await import('./gateway/config.ts')
  const { startGateway } = await import('./gateway/node.ts')
  const { stop, hurry } = stopSignals(log)
  const gatewayConfig = parseGatewayConfig(flags, process.env)
  const { servedModelName } = parseModelConfig(flags, process.env)
  const gateway = await startGateway(gatewayConfig, { log })
  const { token } = await gateway.admin.renewEnrolment('local')
  const backend = new LocalBackend({
    command: [process.execPath, burrowJs, 'backend'],
    // On one machine no connection is worth a second one.
    flags: {
      // The port is the gateway's.
      ...pickFlags({ ...flags, 'metrics-port': undefined }, 'backend'),
      gateway: tunnelUrl(gateway),
      'tunnel-connections': '1',
    },
    // It needs no other secret of ours.
    env: { BURROW_TOKEN: token.reveal(), BURROW_TUNNEL_KEY: '', BURROW_METRICS_PORT: '' },
    log,
  })
  void hurry.then(() => backend.hurry())
  const stopped = Promise.race([stop, gateway.drainRequested])
  let scrapes: ScrapeListener | null = null
  try {
    scrapes = await serveMetrics(gatewayConfig.metricsPort, gateway.metrics)
    const isEarly = await Promise.race([backend.ready.then(() => false), stopped.then(() => true)])
    if (!isEarly) {
      const key = await gateway.admin.ensureFirstKey()
      process.stdout.write(announcement(gateway.url, servedModelName, key?.reveal() ?? null))
      await stopped
    }
  } finally {
    await drain(gateway, hurry)
    await backend.close()
    await scrapes?.close()
  }
}

/** Those of the flags that another command takes too; their variables it inherits. */
const pickFlags = (flags: FlagValues, command: string): Record<string, string> =>
  Object.fromEntries(
    flagsFor(command).flatMap(([name]) => {
      const value = flags[name]
      return value === undefined ? [] : [[name, value]]
    }),
  )

/** Lets running requests finish, or cuts them once hurried; either way they are in the books. */
const drain = async (gateway: Gateway, hurry: Promise<void>): Promise<void> => {
  void hurry.then(() => gateway.close())
  await gateway.drain()
}

const tunnelUrl = (gateway: Gateway): string => `${gateway.url.replace(/^http/, 'ws')}/tunnel`

const runGateway = async (flags: FlagValues): Promise<void> => {
  const { parseGatewayConfig } = await import('./gateway/config.ts')
  const { startGateway } = await import('./gateway/node.ts')
  const { stop, hurry } = stopSignals(log)
  const config = parseGatewayConfig(flags, process.env)
  const gateway = await startGateway(config, { log })
  let scrapes: ScrapeListener | null = null
  try {
    scrapes = await serveMetrics(config.metricsPort, gateway.metrics)
    process.stdout.write(`Burrow's gateway is up: ${gateway.url}, tunnel ${tunnelUrl(gateway)}\n`)
    await Promise.race([stop, gateway.drainRequested])
  } finally {
    await drain(gateway, hurry)
    await scrapes?.close()
  }
}

/** Under `burrow up` there is an IPC channel to the parent, which says when to stop. */
const runBackend = async (flags: FlagValues): Promise<void> => {
  const { parseBackendConfig } = await import('./backend/config.ts')
  const { listenControl } = await import('./backend/control/listen.ts')
  const { startBackend } = await import('./backend/main.ts')
  const { stop, hurry } = process.connected ? parentStop() : stopSignals(log)
  const config = parseBackendConfig(flags, process.env)
  // Exiting waits for threads, and one that is stuck in native code would never come.
  let lastResort: NodeJS.Timeout | undefined
  void hurry.then(() => {
    process.exitCode = 130
    lastResort = setTimeout(() => process.kill(process.pid, 'SIGKILL'), hurryMs)
  })
  const backend = await Promise.race([startBackend(config, log), stop])
  // A model that is still loading has nothing to finish.
  if (!backend) return process.exit(0)
  void backend.connected.then(() => tellParent({ type: 'ready' })).catch(() => {})
  const asked = Promise.withResolvers<void>()
  const drain = (timeoutMs: number) => {
    log.info('asked to drain: running requests may finish')
    asked.resolve()
    return backend.close(timeoutMs)
  }
  // A child leaves when its parent says so.
  const { home } = config
  const isChild = process.connected
  const { report, metrics } = backend
  const { pid } = process
  const listener = isChild ? null : await listenControl({ home, pid, log, drain, report, metrics })
  let scrapes: ScrapeListener | null = null
  try {
    scrapes = await serveMetrics(config.metricsPort, metrics)
    // What runs is cut, with its count.
    void hurry.then(() => backend.close(0)).catch(() => {})
    const failure = await Promise.race([stop, asked.promise, backend.ended])
    if (failure) throw failure
  } finally {
    await backend.close()
    await listener?.close()
    await scrapes?.close()
    clearTimeout(lastResort)
  }
}

/** How long a hurried backend may take to tell what it has counted. */
const hurryMs = 5_000

/** Exit code 2: the drain's time was over before all requests were. */
const drainRunning = async (flags: FlagValues, words: readonly string[]): Promise<void> => {
  const { drainCommand } = await import('./gateway/control/drain-command.ts')
  const { drainRunningBackends } = await import('./backend/control/drain-running.ts')
  const { text, isWhole } = await drainCommand(words, flags, process.env, drainRunningBackends)
  process.stdout.write(`${text}\n`)
  if (!isWhole) process.exitCode = 2
}

const tellOfTunnel = async (flags: FlagValues, words: readonly string[]): Promise<void> => {
  const { tunnelCommand } = await import('./gateway/control/tunnel-command.ts')
  const { askRunningBackends } = await import('./backend/control/ask-running.ts')
  process.stdout.write(`${await tunnelCommand(words, flags, process.env, askRunningBackends)}\n`)
}

/** On the port that was asked for; what runs goes on serving it until it has drained. */
const serveMetrics = async (
  port: number | undefined,
  metrics: () => string,
): Promise<ScrapeListener | null> => {
  if (port === undefined) return null
  const { listenForScrapes } = await import('./scrape-listener.ts')
  const listener = await listenForScrapes(port, metrics)
  log.info('serving metrics', { url: listener.url })
  return listener
}

const shard = async (flags: FlagValues, words: readonly string[]): Promise<void> => {
  const { parseShardConfig, runShard, ShardStopped } = await import('./backend/shard.ts')
  const config = parseShardConfig(words, flags, process.env)
  const { stop, hurry } = stopSignals(log, 'stopping: what is finished is kept')
  void hurry.then(() => process.exit(130))
  const stopping = new AbortController()
  void stop.then(() => stopping.abort())
  const { stdout, stderr } = process
  try {
    await runShard(config, { output: stdout, progress: stderr, signal: stopping.signal })
  } catch (error) {
    if (error instanceof ShardStopped) process.exitCode = 130
    throw error
  }
}

/** Returns when the message has left. */
const tellParent = (message: FromLocalBackend): Promise<void> =>
  new Promise((resolve) => {
    if (process.connected) process.send?.(message, () => resolve())
    else resolve()
  })

/** The parent says when, by word or by its end. A terminal's signals reach both: the parent decides. */
const parentStop = (): Stop => {
  const stop = Promise.withResolvers<void>()
  for (const signal of ['SIGINT', 'SIGHUP']) process.on(signal, () => {})
  process.on('SIGTERM', () => stop.resolve())
  process.on('disconnect', () => stop.resolve())
  process.on('message', (message) => {
    if (message === drainMessage) stop.resolve()
  })
  return { stop: stop.promise, hurry: new Promise(() => {}) }
}

const version = (): string => {
  const file: { version: string } = JSON.parse(
    readFileSync(new URL('./package.json', import.meta.url), 'utf8'),
  )
  return file.version
}

// Whoever read the output may end first, as `tee` does at Ctrl-C: what runs must not end with it.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})

try {
  await main(process.argv.slice(2))
} catch (error) {
  // Some messages of Node's have several lines.
  const reason = (error instanceof Error ? error.message : String(error)).replaceAll('\n', ' ')
  // A parent says it in its own words; without one it goes to the terminal.
  if (process.connected) await tellParent({ type: 'failed', reason })
  else process.stderr.write(`burrow: ${reason}\n`)
  process.exitCode ??= 1
  // Node waits for its threads at any other end, and this one's would never come.
  if (error instanceof Error && error.name === 'ThreadStuck') process.kill(process.pid, 'SIGKILL')
} finally {
  if (process.connected) process.disconnect()
}
