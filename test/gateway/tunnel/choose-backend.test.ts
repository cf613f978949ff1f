import { expect, test } from 'vitest'
import {
  affinityMarginTokens,
  chooseBackend,
  type Candidate,
} from '../../../gateway/tunnel/choose-backend.ts'

const candidate = (backendId: string, load: number, more: Partial<Candidate> = {}): Candidate => ({
  backendId,
  load,
  openStreams: 0,
  isDoubtful: false,
  lastChosen: 0,
  ...more,
})

const choice = (candidates: Candidate[], favourites: string[] = []) =>
  chooseBackend(candidates, favourites)?.backendId

test('the least busy gets it; of equals, the one with fewer streams, then whoever waited longer', () => {
  expect(choice([candidate('a', 900), candidate('b', 100), candidate('c', 500)])).toBe('b')
  expect(choice([candidate('a', 1, { openStreams: 2 }), candidate('b', 1)])).toBe('b')
  expect(choice([candidate('a', 1, { lastChosen: 9 }), candidate('b', 1, { lastChosen: 8 })])).toBe(
    'b',
  )
  expect(choice([])).toBeUndefined()
})

test('a favourite may be busier by the margin, and no more', () => {
  const busy = (load: number) => [candidate('a', load), candidate('b', 100), candidate('c', 200)]
  expect(choice(busy(100 + affinityMarginTokens), ['a'])).toBe('a')
  expect(choice(busy(101 + affinityMarginTokens), ['a'])).toBe('b')
  expect(choice(busy(101 + affinityMarginTokens), ['a', 'c'])).toBe('c')
  expect(choice(busy(0), ['gone'])).toBe('a')
})

test('a doubtful one is for want of a better, favourite or not', () => {
  const doubtful = candidate('a', 0, { isDoubtful: true })
  expect(choice([doubtful, candidate('b', 1e6)], ['a'])).toBe('b')
  expect(choice([doubtful], ['a'])).toBe('a')
  const unwilling = (id: string) => candidate(id, Infinity, { isDoubtful: true })
  expect(choice([unwilling('a'), unwilling('b')])).toBe('a')
})
