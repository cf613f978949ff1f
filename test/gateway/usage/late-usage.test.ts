import { createSecretKey } from 'node:crypto'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { insertApiKey } from '../../../gateway/db/api-keys.ts'
import { openDatabase } from '../../../gateway/db/open.ts'
import { backends, usageRecords } from '../../../gateway/db/schema.ts'
import { insertUsageRecord } from '../../../gateway/db/usage-records.ts'
import { settleLateUsage } from '../../../gateway/usage/late-usage.ts'
import { sealTicket } from '../../../gateway/usage/ticket.ts'
import { silentLog } from '../../support/silent-log.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const pepper = { version: 'p', key: createSecretKey(new Uint8Array(32).fill(7)) }
const credential = { pepperVersion: 'p', hint: 'wxyz', createdAt: 1, revokedAt: null }
const request = {
  requestId: 'req_1',
  keyId: 'key_1',
  backendId: 'be_1',
  model: 'tiger',
  route: '/v1/completions',
  stream: true,
  startedAt: 1000,
}
const settled = {
  ...request,
  status: 200,
  outcome: 'failed',
  promptTokens: 7,
  completionTokens: 2,
  tokensSource: 'last_reported',
  ttftMs: 5,
  durationMs: 9,
} as const
const usage = { promptTokens: 7, completionTokens: 40 }

/** Books with one key and one backend. */
const openBooks = async () => {
  const { db, close } = await openDatabase(join(tempFolder(), 'burrow.db'))
  onTestFinished(close)
  await insertApiKey(db, { id: 'key_1', name: 'a', digest: 'a', ...credential })
  await db.insert(backends).values({ id: 'be_1', name: 'gpu', hint: 'wxyz', createdAt: 1 })
  const ticket = sealTicket(pepper, request) ?? ''
  return {
    db,
    close,
    ticket,
    rows: () => db.select().from(usageRecords),
    settle: (
      report: { ticket?: string; requestId?: string; usage?: typeof usage },
      from = 'be_1',
    ) =>
      settleLateUsage({ db, pepper, log: silentLog, now: () => 4000 }, from, {
        requestId: 'req_1',
        instanceId: 'i',
        usage,
        isFinal: true,
        ...report,
      }),
  }
}

test('a last reported count is corrected, and all else of the record stays', async () => {
  const { db, rows, settle } = await openBooks()
  await insertUsageRecord(db, settled)

  expect(await settle({})).toBe(true)
  expect(await rows()).toEqual([{ ...settled, ...usage, tokensSource: 'reported' }])
})

test('a final count is final', async () => {
  const { db, rows, settle } = await openBooks()
  await insertUsageRecord(db, { ...settled, tokensSource: 'reported' })

  expect(await settle({})).toBe(true)
  expect(await rows()).toEqual([{ ...settled, tokensSource: 'reported' }])
})

test('a final count wins, however it interleaves with the record of the request that it is of', async () => {
  for (let numTurns = 0; numTurns < 12; numTurns++) {
    const { db, rows, settle, ticket } = await openBooks()
    const settling = settle({ ticket })
    for (let i = 0; i < numTurns; i++) await Promise.resolve()
    await insertUsageRecord(db, { ...settled, tokensSource: 'lost', completionTokens: 0 })

    expect(await settling).toBe(true)
    expect(await rows()).toEqual([{ ...settled, ...usage, tokensSource: 'reported' }])
  }
})

test('a request that its gateway did not live to enter is entered from its ticket, once', async () => {
  const { rows, settle, ticket } = await openBooks()

  expect(await settle({ ticket })).toBe(true)
  expect(await settle({ ticket })).toBe(true)
  expect(await rows()).toEqual([
    {
      ...request,
      ...usage,
      status: 0,
      outcome: 'failed',
      tokensSource: 'reported',
      ttftMs: null,
      durationMs: 3000,
    },
  ])
})

test('a record that settles after its late count keeps the count', async () => {
  const { db, rows, settle, ticket } = await openBooks()
  await settle({ ticket })
  await insertUsageRecord(db, settled)

  expect(await rows()).toEqual([{ ...settled, ...usage, tokensSource: 'reported' }])
})

test('a backend speaks for its own requests, or those it has a ticket of', async () => {
  const { db, rows, settle, ticket } = await openBooks()
  await insertUsageRecord(db, settled)

  expect(await settle({}, 'be_2')).toBe(true)
  expect(await settle({ ticket, requestId: 'req_2' })).toBe(true)
  expect(await settle({ requestId: 'req_3' })).toBe(true)
  expect(await rows()).toEqual([settled])
  expect(await settle({ ticket }, 'be_2')).toBe(true)
  expect(await rows()).toEqual([{ ...settled, ...usage, tokensSource: 'reported' }])
})

test('while the books cannot be written, the backend keeps its count', async () => {
  const { close, settle, ticket } = await openBooks()
  close()

  expect(await settle({ ticket })).toBe(false)
})
