/** The gateway is killed and comes back: what ran meanwhile is in its books, with the engine's own count. */
import { DatabaseSync } from 'node:sqlite'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BurrowProcess, runJson } from '../support/burrow-process.ts'
import { eventually } from '../support/eventually.ts'

import { makeTempFolder, removeFolder } from '../support/temp-folder.ts'
import { begunStream } from './begun-stream.ts'

const home = makeTempFolder()
const backendHome = makeTempFolder()
let gateway: BurrowProcess
let backend: BurrowProcess
let url: string
let key: string

const startGateway = async (port: string): Promise<void> => {
  gateway = new BurrowProcess(['gateway', '--port', port, '--home', home])
  url = (await gateway.printed(/gateway is up: (http:\S+),/))[1] ?? ''
}

beforeAll(async () => {
  await startGateway('0')
  key = (await runJson(['keys', 'create', '--name', 'test', '--home', home])).key
  const { token } = await runJson(['backends', 'enroll', '--name', 'box', '--home', home])
  const tunnel = `${url.replace('http', 'ws')}/tunnel`
  backend = new BurrowProcess(['backend', '--gateway', tunnel, '--home', backendHome], {
    BURROW_TOKEN: token,
  })
  await backend.printed(/tunnel connected/)
}, 60_000)

afterAll(async () => {
  await backend.interrupt()
  await gateway.interrupt()
  for (const folder of [home, backendHome]) removeFolder(folder)
})

const rowsOf = (file: string, query: string) => {
  const database = new DatabaseSync(file, { readOnly: true })
  try {
    return database.prepare(query).all()
  } finally {
    database.close()
  }
}

test('a request whose gateway was killed is in the books once, with its true count', async () => {
  const reader = await begunStream(url, key, 400)
  for (let i = 1; i < 5; i++) await reader.next()
  const rest = reader.rest().catch((error: unknown) => error)
  await gateway.kill()
  expect(await rest).toBeInstanceOf(Error)

  await startGateway(new URL(url).port)
  const [row] = await eventually(() => {
    const rows = rowsOf(join(home, 'burrow.db'), 'SELECT * FROM usage_records')
    return rows.length > 0 && rows
  }, 20_000)
  expect(row).toMatchObject({ status: 0, outcome: 'failed', tokens_source: 'reported', stream: 1 })
  expect(row?.['completion_tokens']).toBeGreaterThanOrEqual(5)
  const journal = join(backendHome, 'usage-journal.db')
  await eventually(() => rowsOf(journal, 'SELECT * FROM counts').length === 0)
})
