/** A whole gateway on a free port, with a key, a backend token and its books. */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { onTestFinished } from 'vitest'
import type { Credential } from '../../gateway/auth/credential.ts'
import { startGateway, type Gateway, type GatewayOptions } from '../../gateway/node.ts'
import { lineLog } from '../../shared/log.ts'
import { tempFolder } from '../support/temp-folder.ts'

export type TestGateway = Gateway & {
  readonly home: string
  readonly key: Credential
  readonly keyId: string
  readonly token: Credential
  readonly backendId: string
  readonly logged: readonly string[]
  /** POSTs JSON with the key. */
  post(path: string, body: unknown, init?: RequestInit): Promise<Response>
  /** Waits until `count` usage records are there; returns all. */
  usage(count: number): Promise<Record<string, unknown>[]>
}

export const testGateway = async (options: Partial<GatewayOptions> = {}): Promise<TestGateway> => {
  const home = tempFolder()
  const logged: string[] = []
  const log = lineLog((line) => logged.push(line))
  const gateway = await startGateway({ host: '127.0.0.1', port: 0, home }, { log, ...options })
  onTestFinished(() => gateway.close())
  const { key, secret } = await gateway.admin.createKey('test')
  const { backend, token } = await gateway.admin.enrollBackend('gpu')
  return {
    ...gateway,
    home,
    key: secret,
    keyId: key.id,
    token,
    backendId: backend.id,
    logged,
    post: (path, body, init = {}) =>
      fetch(gateway.url + path, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${secret.reveal()}`,
          'content-type': 'application/json',
        },
        body: JSON.stringify(body),
        ...init,
      }),
    usage: (count) => usageRecords(home, count),
  }
}

const usageRecords = async (home: string, count: number) => {
  const sqlite = new DatabaseSync(join(home, 'burrow.db'), { readOnly: true })
  try {
    const select = sqlite.prepare('SELECT * FROM usage_records ORDER BY started_at, request_id')
    for (let i = 0; i < 200 && select.all().length < count; i++) {
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    return select.all().map((row) => ({ ...row }))
  } finally {
    sqlite.close()
  }
}
