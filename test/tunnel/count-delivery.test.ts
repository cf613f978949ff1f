import { expect, onTestFinished, test } from 'vitest'
import { CountDelivery } from '../../backend/tunnel/count-delivery.ts'
import { UsageJournal } from '../../backend/tunnel/usage-journal.ts'
import type { Closed } from '../../shared/tunnel/link.ts'
import type { UsageReport } from '../../shared/tunnel/usage-message.ts'
import { silentLog } from '../support/silent-log.ts'
import { tempFolder } from '../support/temp-folder.ts'

const usage = { promptTokens: 7, completionTokens: 3 }

/** What the delivery needs of a session: it writes down what it is given to send. */
const recorder = () => {
  const { promise: closed, resolve } = Promise.withResolvers<Closed>()
  const sent: string[] = []
  const reports: UsageReport[] = []
  const session = {
    closed,
    settled: closed.then(() => {}),
    sendUsage: (report: UsageReport) => {
      reports.push(report)
      sent.push(report.requestId)
      return true
    },
  }
  const lose = async () => {
    resolve({ code: 1006, reason: '', by: 'peer' })
    await closed
  }
  return { session, sent, reports, lose }
}

const setUp = () => {
  let at = 1000
  const journal = new UsageJournal(tempFolder(), { log: silentLog, now: () => at++ })
  onTestFinished(() => journal.close())
  const options = { journal, gateway: 'g', instanceId: 'i', log: silentLog }
  return { journal, delivery: new CountDelivery(options), options }
}

const names = (count: number) => Array.from({ length: count }, (_, i) => `r${i}`)

test('a count that was acknowledged is told to nobody again', () => {
  const { delivery, journal } = setUp()
  const { session } = recorder()
  const next = recorder()
  delivery.welcomed(session)
  delivery.counted(session, { requestId: 'a', ticket: 't', usage })
  expect(journal.oldest('g', 9)).toHaveLength(1)
  delivery.acknowledged(session, ['a'])
  delivery.welcomed(next.session)

  expect(journal.oldest('g', 9)).toEqual([])
  expect(next.sent).toEqual([])
})

test('what a lost connection left unacknowledged is told on the next, with its ticket', async () => {
  const { delivery } = setUp()
  const old = recorder()
  delivery.welcomed(old.session)
  delivery.counted(old.session, { requestId: 'a', ticket: 't', usage })
  delivery.counted(old.session, { requestId: 'b', usage })
  await old.lose()

  const next = recorder()
  delivery.welcomed(next.session)
  expect(next.reports).toEqual([
    { requestId: 'a', instanceId: 'i', usage, isFinal: true, ticket: 't' },
    { requestId: 'b', instanceId: 'i', usage, isFinal: true },
  ])
})

test('a count that is final only after its connection was lost goes by the next', async () => {
  const { delivery } = setUp()
  const old = recorder()
  const next = recorder()
  delivery.welcomed(old.session)
  await old.lose()
  delivery.welcomed(next.session)
  delivery.counted(old.session, { requestId: 'a', usage })

  expect(next.sent).toEqual(['a'])
})

test('what is under way on one connection is not told on another', () => {
  const { delivery } = setUp()
  const one = recorder()
  const other = recorder()
  delivery.welcomed(one.session)
  delivery.counted(one.session, { requestId: 'a', usage })
  delivery.welcomed(other.session)

  expect(other.sent).toEqual([])
})

test('many counts of an earlier process go 64 at a time, all of them', () => {
  const { delivery, options, journal } = setUp()
  const before = recorder()
  delivery.welcomed(before.session)
  for (const requestId of names(200)) delivery.counted(before.session, { requestId, usage })

  const after = new CountDelivery(options)
  const { session, sent } = recorder()
  after.welcomed(session)
  expect(sent).toHaveLength(64)
  for (let done = 0; done < sent.length; done += 16) {
    after.acknowledged(session, sent.slice(done, done + 16))
    expect(sent.length - done).toBeLessThanOrEqual(64 + 16)
  }

  expect(new Set(sent)).toEqual(new Set(names(200)))
  expect(sent).toHaveLength(200)
  expect(journal.oldest('g', 9)).toEqual([])
})

test('what an exposed service did, or nobody counted, is not journalled', () => {
  const { delivery, journal } = setUp()
  const { session } = recorder()
  delivery.counted(session, { requestId: 'a', usage: null })
  delivery.counted(session, { requestId: 'b', service: 'notebook', usage })

  expect(journal.oldest('g', 9)).toEqual([])
})

test('a journal that fails costs no request', () => {
  const { delivery, journal } = setUp()
  const { session, sent } = recorder()
  journal.close()

  delivery.counted(session, { requestId: 'a', usage })
  delivery.welcomed(session)
  delivery.acknowledged(session, ['a'])
  expect(sent).toEqual([])
})
