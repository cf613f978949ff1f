import { expect, test } from 'vitest'
import { PrefixAffinity, rendezvous } from '../../../gateway/tunnel/prefix-affinity.ts'
import { hashText } from '../../../gateway/tunnel/hash.ts'

const backends = ['be_a', 'be_b', 'be_c', 'be_d', 'be_e']
const prefixes = Array.from({ length: 10_000 }, (_, i) => hashText(`prompt ${i}`))

test('prompts fall to all backends in about equal parts', () => {
  const counts = new Map<string | null, number>()
  for (const prefix of prefixes) {
    const home = rendezvous(prefix, backends)
    counts.set(home, (counts.get(home) ?? 0) + 1)
  }
  expect([...counts.keys()].sort()).toEqual(backends)
  // 2000 each; the standard deviation is 40.
  for (const count of counts.values()) expect(Math.abs(count - 2000)).toBeLessThan(200)
})

test('when a backend leaves, only its prompts move, and to all others alike', () => {
  const left = backends.filter((id) => id !== 'be_c')
  const moved = new Map<string | null, number>()
  for (const prefix of prefixes) {
    const before = rendezvous(prefix, backends)
    const after = rendezvous(prefix, left)
    if (before !== 'be_c') expect(after).toBe(before)
    else moved.set(after, (moved.get(after) ?? 0) + 1)
  }
  expect([...moved.keys()].sort()).toEqual(left)
  for (const count of moved.values()) expect(Math.abs(count - 500)).toBeLessThan(150)
})

test('the order of the backends makes no difference', () => {
  for (const prefix of prefixes.slice(0, 100)) {
    expect(rendezvous(prefix, backends.toReversed())).toBe(rendezvous(prefix, backends))
  }
  expect(rendezvous(1, [])).toBeNull()
})

test('a known beginning comes before an unknown one, and of the known the longest', () => {
  const affinity = new PrefixAffinity()
  const [long = 0, middle = 0, short = 0] = prefixes
  const first = () => affinity.favourites([long, middle, short], backends).next().value

  expect(first()).toBe(rendezvous(long, backends))
  affinity.sent([short], 'be_a')
  expect(first()).toBe('be_a')
  affinity.sent([middle, short], 'be_b')
  affinity.sent([short], 'be_a')
  expect(first()).toBe('be_b')
  // One that has left is no favourite.
  expect([...affinity.favourites([middle], ['be_a', 'be_c'])]).toEqual([
    rendezvous(middle, ['be_a', 'be_c']),
  ])
})

test('it forgets what was sent the longest time ago', () => {
  const affinity = new PrefixAffinity(3)
  for (const prefix of [1, 2, 3]) affinity.sent([prefix], 'be_a')
  affinity.sent([1], 'be_a')
  affinity.sent([4], 'be_a')
  const isKnown = (prefix: number) => [...affinity.favourites([prefix], ['be_a'])].length === 2
  expect([1, 2, 3, 4].map(isKnown)).toEqual([true, false, true, true])
  expect(affinity.size).toBe(3)
})
