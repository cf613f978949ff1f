import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { UsageJournal } from '../../backend/tunnel/usage-journal.ts'
import { lineLog } from '../../shared/log.ts'
import { silentLog } from '../support/silent-log.ts'
import { tempFolder } from '../support/temp-folder.ts'

const counted = (requestId: string, completionTokens = 3) => ({
  requestId,
  instanceId: 'i',
  ticket: `t-${requestId}`,
  usage: { promptTokens: 7, completionTokens },
})

const open = (home: string, options = {}) => {
  const journal = new UsageJournal(home, { log: silentLog, ...options })
  onTestFinished(() => journal.close())
  return journal
}

test('counts outlive the process, each for its gateway, until they are removed', () => {
  const home = tempFolder()
  let at = 1000
  const now = () => at++
  // Times of an hour: nothing is too old.
  const first = open(home, { now })
  first.add('g', counted('a'))
  first.add('g', counted('b'))
  first.add('h', { ...counted('c'), ticket: undefined })
  first.close()

  const second = open(home, { now })
  expect(second.oldest('g', 10)).toEqual([counted('a'), counted('b')])
  expect(second.oldest('g', 1)).toEqual([counted('a')])
  expect(second.oldest('h', 10)).toEqual([{ ...counted('c'), ticket: undefined }])
  second.remove('g', ['a', 'c', 'unknown'])
  expect(second.oldest('g', 10)).toEqual([counted('b')])
  expect(second.oldest('h', 10)).toHaveLength(1)
})

test('the last count of a request counts', () => {
  const journal = open(tempFolder())
  journal.add('g', counted('a', 3))
  journal.add('g', counted('a', 5))

  expect(journal.oldest('g', 10)).toEqual([counted('a', 5)])
})

test('a full journal drops its oldest counts, and says so', () => {
  const lines: string[] = []
  let at = 1000
  const log = lineLog((line) => lines.push(line))
  const journal = open(tempFolder(), { limit: 20, now: () => at++, log })
  for (let i = 0; i < 50; i++) journal.add('g', counted(`r${i}`))

  const kept = journal.oldest('g', 100).map(({ requestId }) => requestId)
  expect(kept.length).toBeLessThanOrEqual(20)
  expect(kept.length).toBeGreaterThanOrEqual(18)
  expect(kept.at(-1)).toBe('r49')
  expect(lines.join()).toContain('the usage journal is full')
})

test('counts of a month ago are forgotten', () => {
  const home = tempFolder()
  open(home, { now: () => 0 }).add('g', counted('a'))

  expect(open(home, { now: () => 31 * 24 * 3600 * 1000 }).oldest('g', 10)).toEqual([])
})

test('a file that is no journal is named', () => {
  const home = tempFolder()
  writeFileSync(
    join(home, 'usage-journal.db'),
    'not a database at all, but long enough for one\n'.repeat(99),
  )

  expect(() => open(home)).toThrow(/cannot use the usage journal .*usage-journal\.db/)
})
