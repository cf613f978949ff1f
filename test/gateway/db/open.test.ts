import { createSecretKey } from 'node:crypto'
import { cp, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { getTableConfig, SQLiteTable } from 'drizzle-orm/sqlite-core'
import { expect, onTestFinished, test } from 'vitest'
import { DatabaseAdmin } from '../../../gateway/control/database-admin.ts'
import { apiKeys, backends, usageRecords } from '../../../gateway/db/schema.ts'
import * as schema from '../../../gateway/db/schema.ts'
import { openDatabase } from '../../../gateway/db/open.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const migrationsFolder = join(import.meta.dirname, '../../../migrations')

const key = (id: string) => ({
  id,
  name: 'a',
  digest: id,
  pepperVersion: 'p',
  hint: 'wxyz',
  createdAt: 1,
  revokedAt: null,
})

test('all migrations on an empty database give the tables of schema.ts', async () => {
  const file = join(tempFolder(), 'burrow.db')
  const { close } = await openDatabase(file, migrationsFolder)
  close()
  const sqlite = new DatabaseSync(file, { readOnly: true })
  onTestFinished(() => sqlite.close())
  const tables = Object.values(schema).filter((value) => value instanceof SQLiteTable)

  const expected = tables.map((table) => {
    const { name, columns, indexes, foreignKeys } = getTableConfig(table)
    return {
      name,
      columns: columns.map((c) => ({
        name: c.name,
        type: c.getSQLType().toUpperCase(),
        notnull: c.notNull ? 1 : 0,
        pk: c.primary ? 1 : 0,
      })),
      uniques: [
        ...columns.flatMap((c) => (c.isUnique && c.uniqueName ? [c.uniqueName] : [])),
        ...indexes.map((i) => i.config.name),
      ].sort(),
      references: foreignKeys.map((f) => f.reference().columns[0]?.name).sort(),
    }
  })
  const actual = tables.map((table) => {
    const { name } = getTableConfig(table)
    return {
      name,
      columns: sqlite
        .prepare('SELECT name, upper(type) AS type, "notnull", pk FROM pragma_table_info(?)')
        .all(name)
        .map((row) => ({ ...row })),
      uniques: sqlite
        .prepare(`SELECT name FROM pragma_index_list(?) WHERE origin = 'c' ORDER BY name`)
        .all(name)
        .map((row) => row['name']),
      references: sqlite
        .prepare('SELECT "from" FROM pragma_foreign_key_list(?) ORDER BY "from"')
        .all(name)
        .map((row) => row['from']),
    }
  })
  expect(actual).toEqual(expected)
  const all = sqlite
    .prepare(
      `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '\\_\\_%' ESCAPE '\\'`,
    )
    .all()
  expect(all.map((row) => row['name']).sort()).toEqual(expected.map(({ name }) => name).sort())
})

test('a database holds its settings and its content when it is opened again', async () => {
  const file = join(tempFolder(), 'burrow.db')
  const first = await openDatabase(file, migrationsFolder)
  await first.db.insert(apiKeys).values(key('key_1'))
  first.close()
  first.close()
  const { db, close } = await openDatabase(file, migrationsFolder)
  onTestFinished(close)

  expect(await db.select().from(apiKeys)).toEqual([key('key_1')])
  const pragma = async (name: string) => (await db.values(`PRAGMA ${name}`))[0]
  expect({
    journal: await pragma('journal_mode'),
    synchronous: await pragma('synchronous'),
    foreignKeys: await pragma('foreign_keys'),
    timeout: await pragma('busy_timeout'),
  }).toEqual({ journal: ['wal'], synchronous: [1], foreignKeys: [1], timeout: [5000] })
})

test('a database from before public keys opens, and its backends are to be enrolled again', async () => {
  const folder = tempFolder()
  const file = join(folder, 'burrow.db')
  const older = join(folder, 'migrations')
  await cp(migrationsFolder, older, { recursive: true })
  const journalFile = join(older, 'meta', '_journal.json')
  const journal = JSON.parse(await readFile(journalFile, 'utf8'))
  await writeFile(journalFile, JSON.stringify({ ...journal, entries: journal.entries.slice(0, 1) }))
  ;(await openDatabase(file, older)).close()
  const sqlite = new DatabaseSync(file)
  sqlite.exec(`
    INSERT INTO api_keys VALUES ('key_1', 'a', 'd', 'p', 'wxyz', 1, NULL);
    INSERT INTO backends VALUES ('be_1', 'box', 'e', 'p', 'abcd', 2, NULL);
    INSERT INTO usage_records VALUES
      ('req_1', 'key_1', 'be_1', 'm', '/v1', 0, 200, 'completed', 3, 4, 'reported', 5, NULL, 6);
  `)
  sqlite.close()
  const { db, close } = await openDatabase(file, migrationsFolder)
  onTestFinished(close)

  expect(await db.select().from(backends)).toEqual([
    {
      id: 'be_1',
      name: 'box',
      hint: 'abcd',
      createdAt: 2,
      revokedAt: null,
      publicKey: null,
      models: null,
    },
  ])
  expect(await db.select({ backendId: usageRecords.backendId }).from(usageRecords)).toEqual([
    { backendId: 'be_1' },
  ])
  const pepper = { version: 'p', key: createSecretKey(new Uint8Array(32)) }
  const admin = new DatabaseAdmin({
    db,
    pepper,
    now: () => 7,
    gateway: null,
    linkOf: () => null,
    onClose: () => {},
  })
  expect(await admin.listBackends()).toMatchObject([{ login: 'none', name: 'box' }])
  const { backend } = await admin.enrollBackend('box')
  expect(backend).toMatchObject({ id: 'be_1', login: 'secret', createdAt: 2 })
})

test('a batch that fails half-way leaves nothing behind', async () => {
  const { db, close } = await openDatabase(join(tempFolder(), 'a.db'), migrationsFolder)
  onTestFinished(close)
  const batch = db.batch([
    db.insert(apiKeys).values(key('key_1')),
    db.insert(apiKeys).values(key('key_1')),
  ])

  await expect(batch).rejects.toThrow(/UNIQUE/)
  expect(await db.select().from(apiKeys)).toEqual([])
  const both = await db.batch([
    db.insert(apiKeys).values(key('key_2')),
    db.select({ id: apiKeys.id }).from(apiKeys),
  ])
  expect(both[1]).toEqual([{ id: 'key_2' }])
})

test('a database of a newer Burrow is refused by name and left as it is', async () => {
  const folder = tempFolder()
  const file = join(folder, 'burrow.db')
  const newer = join(folder, 'migrations')
  await cp(migrationsFolder, newer, { recursive: true })
  const journalFile = join(newer, 'meta', '_journal.json')
  const journal = JSON.parse(await readFile(journalFile, 'utf8'))
  journal.entries.push({
    idx: 99,
    version: '6',
    when: Date.now() + 1000,
    tag: 'next',
    breakpoints: true,
  })
  await writeFile(journalFile, JSON.stringify(journal))
  await writeFile(join(newer, 'next.sql'), 'CREATE TABLE later (id text);')
  ;(await openDatabase(file, newer)).close()

  await expect(openDatabase(file, migrationsFolder)).rejects.toThrow(
    `the database ${file} was made by a newer Burrow: update Burrow, or use another --home`,
  )
  ;(await openDatabase(file, newer)).close()
})

test('a failed migration leaves the database as it was', async () => {
  const folder = tempFolder()
  const file = join(folder, 'burrow.db')
  const broken = join(folder, 'migrations')
  await cp(migrationsFolder, broken, { recursive: true })
  const [sql] = (await readdir(broken)).filter((name) => name.endsWith('.sql'))
  const whole = await readFile(join(broken, sql ?? ''), 'utf8')
  await writeFile(join(broken, sql ?? ''), `${whole};--> statement-breakpoint\nNOT SQL`)

  await expect(openDatabase(file, broken)).rejects.toThrow(/syntax error/)
  ;(await openDatabase(file, migrationsFolder)).close()
})

test('a locked file is waited for, although SQLite does not when it changes the journal', async () => {
  const file = join(tempFolder(), 'burrow.db')
  const other = new DatabaseSync(file)
  other.exec('CREATE TABLE a (b); BEGIN IMMEDIATE')
  const opening = openDatabase(file, migrationsFolder)
  setTimeout(() => other.close(), 100)

  ;(await opening).close()
})
