/** The command line: reads flags and wires the two sides, each loaded only where it is needed. */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs, type ParseArgsOptionsConfig } from 'node:util'
import type { ModelConfig } from './backend/config.ts'
import { adminCommands, runAdminCommand } from './gateway/control/commands.ts'
import { drainMessage, LocalBackend, type FromLocalBackend } from './gateway/local-backend.ts'
import type { Gateway } from './gateway/node.ts'
import { lineLog } from './shared/log.ts'

const usage = `Usage: burrow <command> [flags]

  up          gateway and backend on this machine (npm start)
  gateway     the gateway alone
  backend     a backend alone: --gateway wss://HOST/tunnel, token from BURROW_TOKEN
  keys        create --name NAME | list | revoke ID         API keys of clients
  backends    enroll --name NAME | list | revoke ID         tokens of backends

Flags, each with its environment variable:
  --host HOST                where the gateway listens (BURROW_HOST, 127.0.0.1)
  --port PORT                and its port; 0: any free one (BURROW_PORT, 8080)
  --home DIR                 the data directory (BURROW_HOME, .burrow)
  --model DIR                model folder in Hugging Face's layout (BURROW_MODEL, the bundled one)
  --served-model-name NAME   the name clients use (BURROW_SERVED_MODEL_NAME, the folder's name)
  --max-model-len TOKENS     prompt and answer together (BURROW_MAX_MODEL_LEN, the model's context as far as it fits)
  --max-num-seqs N           sequences computed together (BURROW_MAX_NUM_SEQS, 16 as far as they fit)
  --max-num-batched-tokens N tokens computed in a step (BURROW_MAX_NUM_BATCHED_TOKENS, 256)
  --kv-cache-memory SIZE     512M, 4G, … (BURROW_KV_CACHE_MEMORY, a quarter of the machine's memory)
  --tensor-parallel-size N   ranks that share each layer (BURROW_TENSOR_PARALLEL_SIZE, 1)
  --pipeline-parallel-size N stages of layers (BURROW_PIPELINE_PARALLEL_SIZE, 1)
  --rope-scaling TYPE        linear, dynamic, yarn or llama3 (BURROW_ROPE_SCALING, the model's own)
  --rope-factor N            how many times the context (BURROW_ROPE_FACTOR)
  --gateway URL              the gateway's tunnel (BURROW_GATEWAY)
  --token-file FILE          file with the backend token (else BURROW_TOKEN, or --token TOKEN)
  --json                     machine-readable output of keys and backends
  --help, --version
`

const flag = { type: 'string' } as const
const engineFlags = {
  'max-model-len': flag,
  'max-num-seqs': flag,
  'max-num-batched-tokens': flag,
  'kv-cache-memory': flag,
  'tensor-parallel-size': flag,
  'pipeline-parallel-size': flag,
  'rope-scaling': flag,
  'rope-factor': flag,
}
const modelFlags = { home: flag, model: flag, 'served-model-name': flag, ...engineFlags }
const gatewayFlags = { host: flag, port: flag, home: flag }
const backendFlags = { ...modelFlags, gateway: flag, token: flag, 'token-file': flag }
const adminFlags = { home: flag, name: flag, json: { type: 'boolean' } } as const

const burrowJs = fileURLToPath(new URL('./burrow.js', import.meta.url))

const log = lineLog((line) => process.stderr.write(`${line}\n`))

const main = async (args: readonly string[]): Promise<void> => {
  const [command = '--help', ...rest] = args.includes('--help') ? [] : args
  switch (command) {
    case 'up':
      return up(parseFlags(rest, { ...gatewayFlags, ...modelFlags }))
    case 'gateway':
      return runGateway(parseFlags(rest, gatewayFlags))
    case 'backend':
      return runBackend(parseFlags(rest, backendFlags))
    case 'keys':
    case 'backends':
      return administer(command, rest)
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

type Flags = Readonly<Record<string, string | undefined>>

/** @throws Error that names the wrong flag */
const parseFlags = (args: readonly string[], options: ParseArgsOptionsConfig): Flags => {
  const { values } = parseArgs({ args: [...args], options, strict: true })
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, String(value)]))
}

/** Gateway and backend child, joined by the tunnel over a real socket. */
const up = async (flags: Flags): Promise<void> => {
  const { parseModelConfig } = await import('./backend/config.ts')
  const { parseGatewayConfig } = await import('./gateway/config.ts')
  const { startGateway } = await import('./gateway/node.ts')
  const { stop, hurry } = stopSignals()
  const gatewayConfig = parseGatewayConfig(flags, process.env)
  const model = parseModelConfig(backendOptions(flags), process.env)
  const gateway = await startGateway(gatewayConfig, { log })
  const { token } = await gateway.admin.rotateBackendToken('local')
  const backend = new LocalBackend({
    command: [process.execPath, burrowJs, 'backend'],
    flags: {
      gateway: tunnelUrl(gateway),
      home: model.home,
      model: model.modelFolder,
      'served-model-name': model.servedModelName,
      ...engineFlagsOf(model),
    },
    env: { BURROW_TOKEN: token.reveal() },
    log,
  })
  try {
    const stopped = await Promise.race([backend.ready.then(() => false), stop.then(() => true)])
    if (!stopped) {
      await announce(gateway, model.servedModelName)
      await stop
    }
  } finally {
    await drain(gateway, hurry)
    await backend.close()
  }
}

/** The engine's flags for the child: those that were given. */
const engineFlagsOf = ({ engine, parallel, ropeOverride }: ModelConfig): Record<string, string> => {
  const flags = {
    'max-model-len': engine.maxModelLen,
    'max-num-seqs': engine.maxNumSeqs,
    'max-num-batched-tokens': engine.maxNumBatchedTokens,
    'kv-cache-memory': engine.kvCacheMemory,
    'tensor-parallel-size': parallel.tensorParallelSize,
    'pipeline-parallel-size': parallel.pipelineParallelSize,
    'rope-scaling': ropeOverride?.type,
    'rope-factor': ropeOverride?.factor,
  }
  return Object.fromEntries(
    Object.entries(flags).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, String(value)]],
    ),
  )
}

/** Lets running requests finish, or cuts them once hurried; either way they are in the books. */
const drain = async (gateway: Gateway, hurry: Promise<void>): Promise<void> => {
  void hurry.then(() => gateway.close())
  await gateway.drain()
}

const tunnelUrl = (gateway: Gateway): string => `${gateway.url.replace(/^http/, 'ws')}/tunnel`

const announce = async (gateway: Gateway, model: string): Promise<void> => {
  const key = await gateway.admin.ensureFirstKey()
  const lines = [`\nBurrow is up: ${gateway.url}/v1 serves ${model}`]
  if (key !== null) lines.push(`\nYour API key, shown only now:\n\n  ${key.reveal()}`)
  lines.push(
    '\nTry it:\n',
    `  curl ${gateway.url}/v1/chat/completions \\`,
    `    -H 'Authorization: Bearer ${key?.reveal() ?? 'YOUR_KEY'}' \\`,
    "    -H 'Content-Type: application/json' \\",
    `    -d '{"model": "${model}", "messages": [{"role": "user", "content": "3+5=?"}]}'`,
    '\nCtrl-C stops it.',
  )
  process.stdout.write(`${lines.join('\n')}\n`)
}

const runGateway = async (flags: Flags): Promise<void> => {
  const { parseGatewayConfig } = await import('./gateway/config.ts')
  const { startGateway } = await import('./gateway/node.ts')
  const { stop, hurry } = stopSignals()
  const gateway = await startGateway(parseGatewayConfig(flags, process.env), { log })
  process.stdout.write(`Burrow's gateway is up: ${gateway.url}, tunnel ${tunnelUrl(gateway)}\n`)
  await stop
  await drain(gateway, hurry)
}

/** Under `burrow up` there is an IPC channel to the parent, which says when to stop. */
const runBackend = async (flags: Flags): Promise<void> => {
  const { parseBackendConfig } = await import('./backend/config.ts')
  const { startBackend } = await import('./backend/main.ts')
  const { stop, hurry } = process.connected ? parentStop() : stopSignals()
  void hurry.then(() => process.exit(130))
  const config = parseBackendConfig(backendOptions(flags), process.env)
  const backend = await Promise.race([startBackend(config, log), stop])
  // A model that is still loading has nothing to finish.
  if (!backend) return process.exit(0)
  void backend.connected.then(() => tellParent({ type: 'ready' })).catch(() => {})
  const failure = await Promise.race([stop, backend.ended])
  await backend.close()
  if (failure) throw failure
}

const tellParent = (message: FromLocalBackend): void => {
  if (process.connected) process.send?.(message)
}

const administer = async (noun: keyof typeof adminCommands, args: readonly string[]) => {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: adminFlags,
    allowPositionals: true,
  })
  const [verb = '', id, ...more] = positionals
  const known: readonly string[] = adminCommands[noun]
  const hasStray = more.length > 0 || (id !== undefined && verb !== 'revoke')
  if (!known.includes(verb) || hasStray) {
    throw new Error(`burrow ${noun} takes ${known.join(', ')}: see burrow --help`)
  }
  const { openAdmin } = await import('./gateway/control/open-admin.ts')
  const admin = await openAdmin(resolve(values.home ?? process.env.BURROW_HOME ?? '.burrow'))
  try {
    const command = { noun, verb, id, name: values.name, json: values.json ?? false }
    process.stdout.write(`${await runAdminCommand(admin, command)}\n`)
  } finally {
    admin.close()
  }
}

const backendOptions = (flags: Flags) => ({
  ...flags,
  tokenFile: flags['token-file'],
  servedModelName: flags['served-model-name'],
  maxModelLen: flags['max-model-len'],
  maxNumSeqs: flags['max-num-seqs'],
  maxNumBatchedTokens: flags['max-num-batched-tokens'],
  kvCacheMemory: flags['kv-cache-memory'],
  tensorParallelSize: flags['tensor-parallel-size'],
  pipelineParallelSize: flags['pipeline-parallel-size'],
  ropeScaling: flags['rope-scaling'],
  ropeFactor: flags['rope-factor'],
})

/** Both resolve once and never reject. */
type Stop = {
  /** Finish what runs, then end. */
  readonly stop: Promise<void>
  /** Do not wait for what runs any longer. */
  readonly hurry: Promise<void>
}

/** Ctrl-C, SIGTERM or a closed terminal: the first stops, the second hurries, the third kills. */
const stopSignals = (): Stop => {
  const stop = Promise.withResolvers<void>()
  const hurry = Promise.withResolvers<void>()
  let count = 0
  const onSignal = () => {
    count += 1
    if (count === 1) {
      log.info('stopping: running requests may finish; press Ctrl-C again to cut them')
      stop.resolve()
    } else if (count === 2) {
      log.info('stopping now; press Ctrl-C again to kill')
      hurry.resolve()
    } else {
      process.exit(130)
    }
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, onSignal)
  return { stop: stop.promise, hurry: hurry.promise }
}

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
  if (process.connected) tellParent({ type: 'failed', reason })
  else process.stderr.write(`burrow: ${reason}\n`)
  process.exitCode = 1
} finally {
  if (process.connected) process.disconnect()
}
