import { describe, expect, test } from 'vitest'
import { Scheduler, type SchedulerLimits } from '../../../backend/engine/scheduler.ts'
import { tokensLeft, type ScheduledSequence } from '../../../backend/engine/scheduled-sequence.ts'

type TestSequence = ScheduledSequence & { readonly id: string; readonly tokens: number[] }

const noRows = { copySlot: () => {}, swapSlots: () => {} }

/** No two have a beginning in common. */
const sequence = (id: string, promptTokens: number, priority = 0): TestSequence => ({
  id,
  tokens: Array.from({ length: promptTokens }, () => 1),
  cachedTokens: 0,
  reusableTokens: Infinity,
  priority,
  cacheSalt: id,
})

const schedulerOf = (limits: Partial<SchedulerLimits> = {}) =>
  new Scheduler<TestSequence>(
    { numSlots: 4, maxNumSeqs: 4, maxNumBatchedTokens: 100, ...limits },
    noRows,
  )

/** Runs one step; every sequence that was computed to its end gets a token. */
const step = (scheduler: Scheduler<TestSequence>): string[] => {
  const ran: string[] = []
  for (const decoding of scheduler.beginStep()) {
    decoding.cachedTokens++
    decoding.tokens.push(2)
    ran.push(decoding.id)
  }
  for (let run = scheduler.nextPrefill(); run !== null; run = scheduler.nextPrefill()) {
    run.sequence.cachedTokens += run.numTokens
    ran.push(`${run.sequence.id}+${run.numTokens}`)
    if (tokensLeft(run.sequence) > 0) continue
    scheduler.startDecoding(run.sequence)
    run.sequence.tokens.push(2)
  }
  return ran
}

describe('a step', () => {
  test('shares its budget between decoding sequences and several prompts', () => {
    const scheduler = schedulerOf({ maxNumBatchedTokens: 11 })
    for (const id of ['a', 'b', 'c']) scheduler.add(sequence(id, 5))
    expect([step(scheduler), step(scheduler)]).toEqual([
      ['a+5', 'b+5', 'c+1'],
      ['a', 'b', 'c+4'],
    ])
  })

  test('counts tokens twice whose logits are wanted', () => {
    const scheduler = schedulerOf({ maxNumBatchedTokens: 11 })
    scheduler.add(sequence('plain', 2))
    // Of its first 3 tokens, nothing is wanted.
    scheduler.add({ ...sequence('scored', 20), reusableTokens: 3 })
    expect(step(scheduler)).toEqual(['plain+2', 'scored+6'])
    expect(step(scheduler)).toEqual(['plain', 'scored+5'])
    expect(step(scheduler)).toEqual(['plain', 'scored+5'])
    expect(step(scheduler)).toEqual(['plain', 'scored+4'])
  })

  test('goes on with such a prompt where its budget is a single token', () => {
    const scheduler = schedulerOf({ maxNumSeqs: 2, maxNumBatchedTokens: 3 })
    for (const id of ['a', 'b']) scheduler.add({ ...sequence(id, 2), reusableTokens: 0 })
    const ran = Array.from({ length: 5 }, () => step(scheduler))
    expect(ran.flat().filter((run) => run.includes('+'))).toEqual(['a+1', 'b+1', 'a+1', 'b+1'])
  })

  test('computes a short prompt before a long one that came first, which goes on meanwhile', () => {
    const scheduler = schedulerOf({ maxNumBatchedTokens: 8 })
    scheduler.add(sequence('long', 40))
    expect(step(scheduler)).toEqual(['long+8'])
    scheduler.add(sequence('short', 6))
    scheduler.add(sequence('other', 20))
    expect([step(scheduler), step(scheduler)]).toEqual([
      ['short+6', 'long+2'],
      ['short', 'other+5', 'long+2'],
    ])
  })

  test('lets a request that came with its twin find what the twin computed', () => {
    const scheduler = schedulerOf({ maxNumBatchedTokens: 10 })
    for (const id of ['a', 'b']) scheduler.add({ ...sequence(id, 10), cacheSalt: 'same' })
    expect([step(scheduler), step(scheduler)]).toEqual([['a+10'], ['a', 'b+1']])
    expect(scheduler.stats()).toMatchObject({ prefixCacheQueries: 20, prefixCacheHits: 9 })
  })

  test('admits in order of arrival and no more than maxNumSeqs', () => {
    const scheduler = schedulerOf({ maxNumSeqs: 2 })
    const sequences = ['a', 'b', 'c'].map((id) => sequence(id, 3))
    for (const one of sequences) scheduler.add(one)
    expect([step(scheduler), step(scheduler)]).toEqual([
      ['a+3', 'b+3'],
      ['a', 'b'],
    ])
    expect(scheduler.stats()).toMatchObject({ running: 2, waiting: 1 })
    for (const one of sequences.slice(0, 1)) scheduler.remove(one, { keepRows: true })
    expect(step(scheduler)).toEqual(['b', 'c+3'])
  })
})

describe('priorities', () => {
  test('decide who is admitted, and of equals who came first', () => {
    const scheduler = schedulerOf({ maxNumSeqs: 2 })
    scheduler.add(sequence('later', 1, 5))
    scheduler.add(sequence('first', 3, 0))
    scheduler.add(sequence('second', 3, 0))
    expect(step(scheduler)).toEqual(['first+3', 'second+3'])
  })

  test('preempt the least important sequence, of these the youngest, which then resumes its rows', () => {
    const scheduler = schedulerOf({ numSlots: 3, maxNumSeqs: 2 })
    scheduler.add(sequence('old', 3, 7))
    scheduler.add(sequence('young', 3, 7))
    expect([step(scheduler), step(scheduler)]).toEqual([
      ['old+3', 'young+3'],
      ['old', 'young'],
    ])
    const urgent = sequence('urgent', 2, 1)
    scheduler.add(urgent)
    expect(step(scheduler)).toEqual(['old', 'young', 'urgent+2'])
    expect(step(scheduler)).toEqual(['old', 'urgent'])
    scheduler.remove(urgent, { keepRows: true })
    // Its last token was not computed yet when it had to go.
    expect(step(scheduler)).toEqual(['old', 'young+1'])
    expect(scheduler.stats()).toMatchObject({
      running: 2,
      waiting: 0,
      preemptions: 1,
      prefixCacheHits: 0,
    })
  })

  test('of the same kind never preempt', () => {
    const scheduler = schedulerOf({ maxNumSeqs: 1 })
    scheduler.add(sequence('a', 3, 3))
    step(scheduler)
    scheduler.add(sequence('b', 3, 3))
    expect(step(scheduler)).toEqual(['a'])
  })

  test('do not keep a request waiting for ever: every eighth place goes by age', () => {
    const scheduler = schedulerOf({ maxNumSeqs: 1 })
    scheduler.add(sequence('humble', 1, 9))
    const served: string[] = []
    for (let i = 0; i < 10; i++) {
      // There is always a more important one.
      for (const id of [`a${i}`, `b${i}`]) scheduler.add(sequence(id, 1))
      served.push(...step(scheduler))
      const [running] = scheduler.beginStep()
      if (running) scheduler.remove(running, { keepRows: true })
    }
    expect(served.indexOf('humble+1')).toBe(7)
  })
})
