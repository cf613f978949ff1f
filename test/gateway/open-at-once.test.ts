import { cp, readFile, writeFile } from 'node:fs/promises'
import { once } from 'node:events'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import { openDatabase } from '../../gateway/db/open.ts'
import { tempFolder } from '../support/temp-folder.ts'
import type { Told } from './open-at-once-worker.ts'

const numThreads = 3
const numRounds = 20

/** The project's migrations and one more. */
const extendedMigrations = async (folder: string): Promise<string> => {
  const extended = join(folder, 'migrations')
  await cp(join(import.meta.dirname, '../../migrations'), extended, { recursive: true })
  const journalFile = join(extended, 'meta', '_journal.json')
  const journal = JSON.parse(await readFile(journalFile, 'utf8'))
  const next = { idx: 99, version: '6', when: Date.now() + 1000, tag: 'next', breakpoints: true }
  journal.entries.push(next)
  await writeFile(journalFile, JSON.stringify(journal))
  await writeFile(join(extended, 'next.sql'), 'CREATE TABLE later (id text);')
  return extended
}

test('many that open one home at once get one pepper and one migrated database', async () => {
  const folder = tempFolder()
  const migrations = await extendedMigrations(folder)
  const rounds = Array.from({ length: numRounds }, (_, i) => ({
    pepper: join(folder, `${i}.pepper`),
    database: join(folder, `${i}.db`),
  }))
  // Half of them make the database, half bring an older one up to date.
  for (const { database } of rounds.slice(numRounds / 2)) (await openDatabase(database)).close()
  const arrived = new SharedArrayBuffer(4)
  const told = await Promise.all(
    Array.from({ length: numThreads }, async (): Promise<Told> => {
      const worker = new Worker(new URL('open-at-once-worker.ts', import.meta.url), {
        workerData: { rounds, migrations, threads: numThreads, arrived },
      })
      const [message] = await once(worker, 'message')
      return message
    }),
  )

  expect(told.flatMap(({ errors }) => errors)).toEqual([])
  const [first] = told
  expect(told.map(({ peppers }) => peppers)).toEqual(Array(numThreads).fill(first?.peppers))
  expect(new Set(first?.peppers).size).toBe(numRounds)
})
