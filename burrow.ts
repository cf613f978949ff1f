/** The command line: what there is, and who does it, each loaded only where it is needed. */
import { readFileSync } from 'node:fs'
import { flagTables, parseFlags } from './commands/command-flags.ts'
import { tellParent } from './commands/parent.ts'
import { flagUsage, type FlagValues } from './shared/flags.ts'

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

const main = async (args: readonly string[]): Promise<void> => {
  const [command = '--help', ...rest] = args.includes('--help') ? [] : args
  switch (command) {
    case 'up':
      return (await import('./commands/up.ts')).up(parseFlags('up', rest).flags)
    case 'gateway':
      return (await import('./commands/gateway.ts')).runGateway(parseFlags('gateway', rest).flags)
    case 'backend':
      return (await import('./commands/backend.ts')).runBackend(parseFlags('backend', rest).flags)
    case 'shard': {
      const { flags, words } = parseFlags('shard', rest, { allowPositionals: true })
      return (await import('./commands/shard.ts')).shard(flags, words)
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
