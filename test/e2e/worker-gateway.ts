/** The Worker in wrangler's own workerd, on a real port, with an API key and backends over real sockets. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import { createTestHarness, unstable_readConfig, type TestHarness } from 'wrangler'
import { dial, type Tunnel } from '../../backend/tunnel/dial.ts'
import { tokenLogin } from '../../backend/tunnel/login.ts'
import { TokenMint } from '../../backend/tunnel/token.ts'
import { RemoteAdmin } from '../../gateway/control/remote-admin.ts'
import { webCall } from '../../gateway/control/web-call.ts'
import type { TunnelHandler } from '../../shared/tunnel/exchange.ts'
import { silentLog } from '../support/silent-log.ts'
import { makeTempFolder, removeFolder } from '../support/temp-folder.ts'
import { testAdminToken, testPepper } from '../support/worker-secrets.ts'

/** The part of a D1 database that is needed here. */
type Database = {
  prepare(sql: string): {
    bind(...values: string[]): { all(): Promise<{ readonly results: unknown[] }> }
  }
}

export class WorkerGateway {
  readonly url: URL
  readonly admin: RemoteAdmin
  readonly #harness: TestHarness
  readonly #root: string

  private constructor(harness: TestHarness, url: URL, root: string) {
    this.#harness = harness
    this.#root = root
    this.url = url
    this.admin = new RemoteAdmin(webCall(url, testAdminToken))
  }

  static async start(): Promise<WorkerGateway> {
    const root = makeTempFolder()
    const configPath = join(root, 'wrangler.json')
    await writeFile(configPath, JSON.stringify(quickConfig()))
    const secrets = { BURROW_PEPPER: testPepper, BURROW_ADMIN_TOKEN: testAdminToken }
    const harness = createTestHarness({ root, workers: [{ configPath, secrets }] })
    const { url } = await harness.listen()
    await harness.getWorker().applyD1Migrations('DB')
    return new WorkerGateway(harness, url, root)
  }

  get tunnelUrl(): string {
    return `ws://${this.url.host}/tunnel`
  }

  /** A backend that goes with the test; its name is its model's too. */
  async backend(name: string, handler: TunnelHandler): Promise<Tunnel & { readonly id: string }> {
    const { backend, token } = await this.admin.enrollBackend(name)
    const tunnel = dial({
      url: this.tunnelUrl,
      login: tokenLogin(new TokenMint({ enrolmentSecret: token.reveal() })),
      models: [name],
      handler,
      log: silentLog,
      random: () => 0,
    })
    onTestFinished(() => tunnel.close(0))
    await tunnel.connected
    return Object.assign(tunnel, { id: backend.id })
  }

  /** POSTs JSON to the chat route. */
  chat(key: string, body: unknown, init: RequestInit = {}): Promise<Response> {
    return fetch(new URL('/v1/chat/completions', this.url), {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
      ...init,
    })
  }

  /** Unloads the Durable Object, as the runtime does after a while without requests. */
  fallAsleep(): Promise<void> {
    return this.#harness.getWorker().evictDurableObject('Hub', { name: 'hub' })
  }

  /** What the books have about the model. */
  async usage(model: string): Promise<unknown[]> {
    const { DB } = await this.#harness.getWorker<{ DB: Database }>().getEnv()
    const { results } = await DB.prepare('select * from usage_records where model = ?')
      .bind(model)
      .all()
    return results
  }

  async close(): Promise<void> {
    await this.#harness.close()
    removeFolder(this.#root)
  }
}

/** wrangler.jsonc with another entry. In a folder of its own: no developer's `.dev.vars` is there. */
const quickConfig = () => {
  const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url))
  const config = unstable_readConfig({ config: path('../../wrangler.jsonc') })
  const { name, compatibility_date, compatibility_flags, durable_objects, migrations } = config
  return {
    name,
    main: path('../gateway/workers/quick-worker.ts'),
    compatibility_date,
    compatibility_flags,
    durable_objects,
    migrations,
    d1_databases: config.d1_databases.map((database: object) => ({
      ...database,
      migrations_dir: path('../../migrations'),
    })),
  }
}
