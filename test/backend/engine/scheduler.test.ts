import { describe, expect, test } from 'vitest'
import { Scheduler } from '../../../backend/engine/scheduler.ts'
import { Sequence } from '../../../backend/engine/sequence.ts'
import { seededRandom } from '../../../backend/engine/random.ts'
import { Detokenizer } from '../../../backend/tokenizer/detokenizer.ts'
import { generationRequest } from '../../support/generation-request.ts'

const sequence = (id: string, promptTokens: number) =>
  new Sequence(
    generationRequest({
      id,
      promptTokens: Array.from({ length: promptTokens }, () => 1),
      maxTokens: 5,
      ignoreEos: true,
    }),
    new Detokenizer({ decode: (ids) => 'x'.repeat(ids.length) }),
    new Set(),
  )

const ids = (sequences: readonly Sequence[]) => sequences.map((s) => s.request.id)

/** Runs the whole prefill of the next sequence. */
const prefill = (scheduler: Scheduler) => {
  for (;;) {
    const chunk = scheduler.nextPrefill()
    if (chunk === null) throw new Error('nothing to prefill')
    chunk.sequence.cachedTokens += chunk.numTokens
    if (chunk.sequence.prefillTokensLeft === 0) return scheduler.promote()
  }
}

describe('Scheduler', () => {
  test('cuts a long prompt into chunks and promotes it when the last is done', () => {
    const scheduler = new Scheduler({ maxNumSeqs: 2, maxPrefillTokens: 4 })
    const long = sequence('long', 10)
    scheduler.add(long)
    const sizes: number[] = []
    for (let left = 10; left > 0; left = long.prefillTokensLeft) {
      const chunk = scheduler.nextPrefill()
      sizes.push(chunk?.numTokens ?? 0)
      long.cachedTokens += chunk?.numTokens ?? 0
    }
    expect(sizes).toEqual([4, 4, 2])
    expect(scheduler.promote()).toBeNull()
    expect(ids(scheduler.decoding)).toEqual(['long'])
  })

  test('admits in order of arrival and no more than maxNumSeqs', () => {
    const scheduler = new Scheduler({ maxNumSeqs: 2, maxPrefillTokens: 8 })
    for (const id of ['a', 'b', 'c']) scheduler.add(sequence(id, 3))
    prefill(scheduler)
    prefill(scheduler)
    expect(scheduler.nextPrefill()).toBeNull()
    expect({
      decoding: ids(scheduler.decoding),
      running: scheduler.numRunning,
      waiting: scheduler.numWaiting,
    }).toEqual({ decoding: ['a', 'b'], running: 2, waiting: 1 })
  })

  test('fills a hole with the last decoding sequence and says which tokens move', () => {
    const scheduler = new Scheduler({ maxNumSeqs: 3, maxPrefillTokens: 8 })
    const [a, b, c] = [sequence('a', 3), sequence('b', 4), sequence('c', 5)]
    for (const s of [a, b, c]) scheduler.add(s)
    for (let i = 0; i < 3; i++) prefill(scheduler)
    expect(scheduler.remove(a)).toEqual({ from: 2, to: 0, tokens: 5 })
    expect(ids(scheduler.decoding)).toEqual(['c', 'b'])
    expect(scheduler.remove(b)).toBeNull()
    expect(ids(scheduler.decoding)).toEqual(['c'])
  })

  test('moves a prompt in prefill down when slots below it became free meanwhile', () => {
    const scheduler = new Scheduler({ maxNumSeqs: 3, maxPrefillTokens: 2 })
    const [a, b] = [sequence('a', 2), sequence('b', 4)]
    scheduler.add(a)
    prefill(scheduler)
    scheduler.add(b)
    const first = scheduler.nextPrefill()
    expect(first?.slot).toBe(1)
    b.cachedTokens = 2
    scheduler.remove(a)
    expect(scheduler.nextPrefill()?.slot).toBe(1)
    b.cachedTokens = 4
    expect(scheduler.promote()).toEqual({ from: 1, to: 0, tokens: 4 })
  })

  test('random schedules: slots stay dense and unique, nothing is lost, all are served', () => {
    const random = seededRandom(11)
    for (let round = 0; round < 50; round++) {
      const maxNumSeqs = 1 + Math.floor(random.next() * 5)
      const scheduler = new Scheduler({ maxNumSeqs, maxPrefillTokens: 3 })
      const stepsLeft = new Map<Sequence, number>()
      /** What each slot holds, kept by the moves alone. */
      const slots = new Map<number, Sequence>()
      const apply = (move: ReturnType<Scheduler['remove']>) => {
        const moved = move && slots.get(move.from)
        if (move && moved) slots.set(move.to, moved)
        if (move) expect(move.tokens).toBe(moved?.cachedTokens)
      }
      for (let i = 0; i < 20; i++) {
        const added = sequence(`${i}`, 1 + Math.floor(random.next() * 9))
        stepsLeft.set(added, Math.floor(random.next() * 6))
        scheduler.add(added)
      }
      for (let step = 0; stepsLeft.size > 0; step++) {
        expect(step).toBeLessThan(2_000)
        scheduler.decoding.forEach((s, slot) => expect(slots.get(slot)).toBe(s))
        expect(scheduler.numRunning).toBeLessThanOrEqual(maxNumSeqs)
        for (const s of scheduler.decoding.slice()) {
          const left = stepsLeft.get(s) ?? 0
          s.cachedTokens++
          stepsLeft.set(s, left - 1)
          if (left > 0) continue
          stepsLeft.delete(s)
          apply(scheduler.remove(s))
        }
        const chunk = scheduler.nextPrefill()
        if (!chunk) continue
        expect(scheduler.decoding.length).toBeLessThanOrEqual(chunk.slot)
        slots.set(chunk.slot, chunk.sequence)
        if (random.next() < 0.05) {
          stepsLeft.delete(chunk.sequence)
          apply(scheduler.remove(chunk.sequence))
          continue
        }
        chunk.sequence.cachedTokens += chunk.numTokens
        if (chunk.sequence.prefillTokensLeft === 0) apply(scheduler.promote())
      }
      expect({ running: scheduler.numRunning, waiting: scheduler.numWaiting }).toEqual({
        running: 0,
        waiting: 0,
      })
    }
  })
})
