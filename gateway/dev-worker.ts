/**
 * `npm run dev:worker`: the Worker on this machine, in wrangler's own workerd. Makes what it needs at
 * first (secrets, tables, an API key, a backend's token), so that `npm run dev:backend` can follow.
 */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs, parseEnv } from 'node:util'
import { RemoteAdmin } from './control/remote-admin.ts'
import { webCall } from './control/web-call.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const wranglerJs = join(root, 'node_modules/wrangler/bin/wrangler.js')

const { port, state } = parseArgs({
  options: {
    port: { type: 'string', default: '8787' },
    /** Folder for the local database and the secrets. */
    state: { type: 'string', default: join(root, '.wrangler') },
  },
}).values
const secretsFile = join(state, 'worker.env')
const backendFile = join(state, 'backend.env')
const databaseFolder = join(state, 'state')
const appliedFile = join(databaseFolder, 'applied-migrations')

const url = new URL(`http://127.0.0.1:${port}`)
const startLimitMs = 60_000

/** What would ask Cloudflare's servers; a Worker on this machine needs none of it. */
const env = {
  ...process.env,
  CLOUDFLARE_CF_FETCH_ENABLED: 'false',
  WRANGLER_SEND_METRICS: 'false',
  WRANGLER_SEND_ERROR_REPORTS: 'false',
}

const wrangler = (args: readonly string[]) =>
  spawn(process.execPath, [wranglerJs, ...args], { cwd: root, env, stdio: 'inherit' })

type Variables = Readonly<Record<string, string | undefined>>

const readVariables = async (file: string): Promise<Variables> => {
  try {
    return parseEnv(await readFile(file, 'utf8'))
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return {}
    throw error
  }
}

/** For the owner alone. */
const writeVariables = async (file: string, variables: Variables): Promise<void> => {
  await mkdir(join(file, '..'), { recursive: true })
  const lines = Object.entries(variables).map(([name, value]) => `${name}=${value}\n`)
  await writeFile(file, lines.join(''), { mode: 0o600 })
}

/** The admin token; it and the pepper are made when they are not there. */
const ensureSecrets = async (): Promise<string> => {
  const known = await readVariables(secretsFile)
  const random = () => randomBytes(32).toString('hex')
  const { BURROW_ADMIN_TOKEN = random(), BURROW_PEPPER = random() } = known
  if (!known['BURROW_ADMIN_TOKEN'] || !known['BURROW_PEPPER']) {
    await writeVariables(secretsFile, { ...known, BURROW_ADMIN_TOKEN, BURROW_PEPPER })
  }
  return BURROW_ADMIN_TOKEN
}

/** wrangler takes seconds to find that there is nothing to do. */
const applyMigrations = async (): Promise<void> => {
  const files = await readdir(join(root, 'migrations'))
  const wanted = files.filter((name) => name.endsWith('.sql')).sort()
  const applied = await readFile(appliedFile, 'utf8').catch(() => '')
  if (applied === wanted.join('\n')) return
  const args = ['d1', 'migrations', 'apply', 'DB', '--local', '--persist-to', databaseFolder]
  const [code] = await once(wrangler(args), 'exit')
  if (code !== 0) throw new Error('the local database could not be brought up to date')
  await writeFile(appliedFile, wanted.join('\n'))
}

const untilUp = async (): Promise<void> => {
  const deadline = performance.now() + startLimitMs
  for (;;) {
    const response = await fetch(new URL('/health', url)).catch(() => null)
    if (response?.ok) return
    if (performance.now() > deadline) throw new Error(`${url.origin} is not up`)
    await delay(200)
  }
}

/** The token in the file if it is still that of the backend `local`, else a new one's. */
const ensureBackend = async (admin: RemoteAdmin): Promise<void> => {
  const { BURROW_TOKEN } = await readVariables(backendFile)
  const inUse = (await admin.listBackends()).find((b) => b.name === 'local' && b.revokedAt === null)
  if (inUse && BURROW_TOKEN?.endsWith(inUse.hint)) return
  if (inUse) await admin.revokeBackend(inUse.id)
  const { token } = await admin.enrollBackend('local')
  await writeVariables(backendFile, {
    BURROW_GATEWAY: `ws://${url.host}/tunnel`,
    BURROW_TOKEN: token.reveal(),
  })
}

const announcement = (key: string | null): string => {
  const lines = [`\nBurrow's Worker is up: ${url.origin}/v1`]
  if (key !== null) lines.push(`\nYour API key, shown only now:\n\n  ${key}`)
  lines.push('\nIn another terminal, a backend for it:\n', '  npm run dev:backend\n')
  return `${lines.join('\n')}\n`
}

const main = async (): Promise<void> => {
  const adminToken = await ensureSecrets()
  await applyMigrations()
  const worker = wrangler([
    'dev',
    '--ip',
    '127.0.0.1',
    '--port',
    port,
    '--inspector-port',
    '0',
    '--persist-to',
    databaseFolder,
    '--env-file',
    secretsFile,
    '--show-interactive-dev-session=false',
  ])
  const ended = once(worker, 'exit')
  // A terminal's Ctrl-C reaches wrangler too; this waits for it in any case.
  process.on('SIGINT', () => worker.kill('SIGTERM'))
  process.on('SIGTERM', () => worker.kill('SIGTERM'))
  try {
    const isUp = await Promise.race([untilUp().then(() => true), ended.then(() => false)])
    if (isUp) {
      const admin = new RemoteAdmin(webCall(url, adminToken))
      await ensureBackend(admin)
      const isFirst = (await admin.listKeys()).length === 0
      const key = isFirst ? (await admin.createKey('local')).secret.reveal() : null
      process.stdout.write(announcement(key))
    }
  } catch (error) {
    worker.kill('SIGTERM')
    throw error
  }
  const [code] = await ended
  process.exitCode = code ?? 0
}

await main()
