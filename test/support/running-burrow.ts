/** A whole Burrow (`burrow up`) with its own data directory, and ways to look into it. */
import { DatabaseSync } from 'node:sqlite'
import { join } from 'node:path'
import OpenAI from 'openai'
import { isFields } from '../../shared/parse.ts'
import { openAdmin } from '../../gateway/control/open-admin.ts'
import type { Admin } from '../../gateway/control/admin.ts'
import { BurrowProcess } from './burrow-process.ts'
import { makeTempFolder, removeFolder } from './temp-folder.ts'

/** What the backend's `/health` tells. */
export type EngineHealth = {
  readonly running: number
  readonly waiting: number
  readonly generatedTokens: number
  readonly prefixCacheHits: number
}

export type UsageRow = {
  readonly request_id: string
  readonly status: number
  readonly outcome: string
  readonly prompt_tokens: number
  readonly completion_tokens: number
  readonly tokens_source: string
  readonly stream: number
}

export class RunningBurrow {
  readonly process: BurrowProcess
  readonly home: string
  readonly url: string
  readonly key: string
  readonly model: string
  readonly admin: Admin

  private constructor(fields: {
    process: BurrowProcess
    home: string
    url: string
    key: string
    model: string
    admin: Admin
  }) {
    this.process = fields.process
    this.home = fields.home
    this.url = fields.url
    this.key = fields.key
    this.model = fields.model
    this.admin = fields.admin
  }

  static async start(
    args: readonly string[] = [],
    env: Readonly<Record<string, string>> = {},
  ): Promise<RunningBurrow> {
    const home = makeTempFolder()
    const process = new BurrowProcess(['up', '--port', '0', '--home', home, ...args], env)
    const [, url = '', model = ''] = await process.printed(/Burrow is up: (\S+)\/v1 serves (\S+)/)
    const [key] = await process.printed(/brw_\w+/)
    return new RunningBurrow({ process, home, url, key, model, admin: await openAdmin(home) })
  }

  client(apiKey = this.key): OpenAI {
    return new OpenAI({ baseURL: `${this.url}/v1`, apiKey, maxRetries: 0 })
  }

  /** POSTs to the API with the key. */
  post(path: string, body: unknown, init: RequestInit = {}): Promise<Response> {
    return fetch(`${this.url}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${this.key}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
      ...init,
    })
  }

  /** A streamed chat request. */
  chatStream(content: string, init: RequestInit = {}): Promise<Response> {
    const messages = [{ role: 'user', content }]
    const body = { model: this.model, messages, temperature: 0, stream: true }
    return this.post('/v1/chat/completions', body, init)
  }

  /** The engine's state as the backend tells it; null while no backend is connected. */
  async engine(): Promise<EngineHealth | null> {
    const backends = await this.admin.listBackends()
    const health = backends.find(({ connected }) => connected)?.health
    if (!isFields(health)) return null
    return {
      running: Number(health.running),
      waiting: Number(health.waiting),
      generatedTokens: Number(health.generated_tokens),
      prefixCacheHits: Number(health.prefix_cache_hits),
    }
  }

  /** All usage records, oldest first. */
  usage(): UsageRow[] {
    const db = new DatabaseSync(join(this.home, 'burrow.db'), { readOnly: true })
    try {
      const rows = db
        .prepare(
          'select request_id, status, outcome, prompt_tokens, completion_tokens, tokens_source, stream from usage_records order by started_at, rowid',
        )
        .all()
      return rows.map((row) => ({
        request_id: String(row.request_id),
        status: Number(row.status),
        outcome: String(row.outcome),
        prompt_tokens: Number(row.prompt_tokens),
        completion_tokens: Number(row.completion_tokens),
        tokens_source: String(row.tokens_source),
        stream: Number(row.stream),
      }))
    } finally {
      db.close()
    }
  }

  async stop(): Promise<void> {
    this.admin.close()
    await this.process.interrupt()
    removeFolder(this.home)
  }
}
