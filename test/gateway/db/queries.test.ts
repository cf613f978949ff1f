import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { insertFirstApiKey, listApiKeys } from '../../../gateway/db/api-keys.ts'
import { openDatabase } from '../../../gateway/db/open.ts'
import { apiKeys, usageRecords } from '../../../gateway/db/schema.ts'
import { insertUsageRecord, type UsageRecord } from '../../../gateway/db/usage-records.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const opened = async () => {
  const file = join(tempFolder(), 'burrow.db')
  const { db, close } = await openDatabase(file)
  onTestFinished(close)
  return { db, file }
}

const key = (id: string) => ({
  id,
  name: 'a',
  digest: id,
  pepperVersion: 'p',
  hint: 'wxyz',
  createdAt: 1,
  revokedAt: null,
})

const record: UsageRecord = {
  requestId: 'req_1',
  keyId: 'key_1',
  backendId: null,
  model: 'tiger',
  route: '/v1/completions',
  stream: true,
  status: 200,
  outcome: 'completed',
  promptTokens: 3,
  completionTokens: 4,
  tokensSource: 'reported',
  startedAt: 5,
  ttftMs: null,
  durationMs: 6,
}

test('a request is in the books once, however often it is entered', async () => {
  const { db } = await opened()
  await db.insert(apiKeys).values(key('key_1'))
  await insertUsageRecord(db, record)
  await insertUsageRecord(db, { ...record, completionTokens: 400, outcome: 'failed' })

  expect(await db.select().from(usageRecords)).toEqual([{ ...record, outcome: 'failed' }])
})

test('use of a key that does not exist cannot be entered', async () => {
  const { db } = await opened()

  await expect(insertUsageRecord(db, record)).rejects.toMatchObject({
    cause: { message: 'FOREIGN KEY constraint failed' },
  })
})

test('of two processes that make the first key, one does', async () => {
  const { db, file } = await opened()
  const other = await openDatabase(file)
  onTestFinished(other.close)
  const made = await Promise.all([
    insertFirstApiKey(db, key('key_1')),
    insertFirstApiKey(other.db, key('key_2')),
  ])

  expect(made.toSorted()).toEqual([false, true])
  expect(await listApiKeys(db)).toEqual([key(made[0] ? 'key_1' : 'key_2')])
})
