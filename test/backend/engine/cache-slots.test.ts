import { describe, expect, test } from 'vitest'
import { CacheSlots } from '../../../backend/engine/cache-slots.ts'
import type { ScheduledSequence } from '../../../backend/engine/scheduled-sequence.ts'

const notedRows = () => {
  const moves: string[] = []
  return {
    moves,
    rows: {
      copySlot: (from: number, to: number, length: number) =>
        void moves.push(`copy ${length} from ${from} to ${to}`),
      swapSlots: (a: number, b: number, length: number) =>
        void moves.push(`swap ${length} of ${a} and ${b}`),
    },
  }
}

const sequence = (tokens: string, cacheSalt = ''): ScheduledSequence => ({
  tokens: Array.from(tokens, (letter) => letter.charCodeAt(0)),
  cachedTokens: 0,
  reusableTokens: Infinity,
  priority: 0,
  cacheSalt,
})

/** Computes all of it and lets it go. */
const compute = (slots: CacheSlots<ScheduledSequence>, tokens: string, cacheSalt = '') => {
  const computed = sequence(tokens, cacheSalt)
  slots.admit(computed)
  const found = computed.cachedTokens
  computed.cachedTokens = tokens.length
  slots.release(computed, { keep: true })
  return found
}

describe('the prefix cache', () => {
  test('gives the longest beginning in the lowest free slot, whose own rows make way', () => {
    const { rows, moves } = notedRows()
    const slots = new CacheSlots(4, rows)
    compute(slots, 'abcdef')
    compute(slots, 'abXY')
    const next = sequence('abcdZ')
    slots.admit(next)
    expect([next.cachedTokens, slots.slotOf(next)]).toEqual([4, 0])
    expect(moves).toEqual(['copy 6 from 0 to 1', 'copy 4 from 0 to 2', 'copy 4 from 1 to 0'])
  })

  test('is continued in place where all of a slot is the beginning', () => {
    const { rows, moves } = notedRows()
    const slots = new CacheSlots(4, rows)
    compute(slots, 'abc')
    const next = sequence('abcde')
    slots.admit(next)
    expect([next.cachedTokens, slots.slotOf(next), moves]).toEqual([3, 0, []])
  })

  test('takes rows over that were to be evicted, rather than copy them', () => {
    const { rows, moves } = notedRows()
    const slots = new CacheSlots(2, rows)
    compute(slots, 'abcdef')
    compute(slots, 'xyz')
    expect(compute(slots, 'abcZ')).toBe(3)
    expect(moves).toEqual(['copy 6 from 0 to 1', 'swap 6 of 1 and 0'])
    expect([compute(slots, 'xyz!'), compute(slots, 'abcdef')]).toEqual([3, 3])
  })

  test('leaves the last token to compute', () => {
    const { rows } = notedRows()
    const slots = new CacheSlots(2, rows)
    expect([compute(slots, 'abc'), compute(slots, 'abc'), compute(slots, 'a')]).toEqual([0, 2, 0])
  })

  test('is never shared between salts', () => {
    const { rows } = notedRows()
    const slots = new CacheSlots(4, rows)
    compute(slots, 'abcdef', 'one')
    expect([compute(slots, 'abcdef', 'two'), compute(slots, 'abcdef', 'one')]).toEqual([0, 5])
  })

  test('is taken from a sequence that still runs, as far as that is computed', () => {
    const { rows, moves } = notedRows()
    const slots = new CacheSlots(2, rows)
    const running = sequence('abcdef')
    slots.admit(running)
    running.cachedTokens = 3
    const next = sequence('abcdef')
    slots.admit(next)
    expect([next.cachedTokens, moves]).toEqual([3, ['copy 3 from 0 to 1']])
    expect(() => slots.admit(sequence('z'))).toThrow('every slot is taken')
  })

  test('loses what was not used for the longest time', () => {
    const { rows } = notedRows()
    const slots = new CacheSlots(2, rows)
    compute(slots, 'aaaa')
    compute(slots, 'bbbb')
    // In place: 'a' is now the younger one.
    compute(slots, 'aaaaa')
    compute(slots, 'cccc')
    expect([compute(slots, 'aaaaa'), compute(slots, 'bbbb')]).toEqual([4, 0])
  })

  test('does not keep rows that may be wrong', () => {
    const { rows } = notedRows()
    const slots = new CacheSlots(2, rows)
    const bad = sequence('abc')
    slots.admit(bad)
    bad.cachedTokens = 3
    slots.release(bad, { keep: false })
    expect(compute(slots, 'abcd')).toBe(0)
  })
})

describe('decoding sequences', () => {
  test('fill a hole with the last of them, and what was cached above them stays cached', () => {
    const { rows, moves } = notedRows()
    const slots = new CacheSlots(4, rows)
    compute(slots, 'old')
    const [a, b] = [sequence('aa'), sequence('bbb')]
    for (const one of [a, b]) {
      slots.admit(one)
      one.cachedTokens = one.tokens.length
      slots.startDecoding(one)
    }
    expect(slots.decoding).toEqual([a, b])
    slots.release(a, { keep: true })
    expect([slots.decoding, slots.slotOf(b)]).toEqual([[b], 0])
    expect(moves).toEqual([
      // 'old' makes way for 'aa' and then for 'bbb'.
      'copy 3 from 0 to 1',
      'copy 3 from 1 to 2',
      // 'bbb' takes the place of 'aa'.
      'swap 3 of 0 and 1',
    ])
    expect([compute(slots, 'old!'), compute(slots, 'aa!')]).toEqual([3, 2])
  })
})
