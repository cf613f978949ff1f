/** What goes wrong when: the same for the same seed. */
import { seededRandom, type Random } from '../../../../backend/engine/random.ts'
import type { LinkShape } from '../../../support/relay/link-shape.ts'
import type { Direction } from '../../../support/relay/relayed-connection.ts'

/** What a fault does; `forMs` until the network is well again. */
export type Fault =
  | { readonly kind: 'cut' | 'reset' | 'finish' }
  | { readonly kind: 'blackhole'; readonly which: readonly Direction[]; readonly forMs: number }
  | { readonly kind: 'refuse'; readonly forMs: number }
  | { readonly kind: 'stall'; readonly forMs: number }
  | { readonly kind: 'reshape'; readonly shape: Partial<LinkShape>; readonly forMs: number }
  /** The backend goes, with so much patience, and another process of it comes. */
  | { readonly kind: 'restart backend'; readonly graceMs: number }
  /** The gateway goes, with so much patience, and comes again at the same place. */
  | { readonly kind: 'restart gateway'; readonly graceMs: number }

export type DueFault = {
  /** After the beginning of its turn. */
  readonly atMs: number
  /** Which backend's network. */
  readonly backend: number
  readonly fault: Fault
}

const between = (random: Random, low: number, high: number): number =>
  Math.round(low + random.next() * (high - low))

const directions: readonly (readonly Direction[])[] = [['up'], ['down'], ['up', 'down']]

const makers: readonly (readonly [weight: number, (random: Random) => Fault])[] = [
  [3, () => ({ kind: 'cut' })],
  [2, () => ({ kind: 'reset' })],
  [2, () => ({ kind: 'finish' })],
  [
    4,
    (random) => ({
      kind: 'blackhole',
      which: directions[between(random, 0, 2)] ?? ['up'],
      forMs: between(random, 200, 2_500),
    }),
  ],
  [1, (random) => ({ kind: 'refuse', forMs: between(random, 100, 1_500) })],
  [4, (random) => ({ kind: 'stall', forMs: between(random, 50, 900) })],
  [
    4,
    (random) => ({
      kind: 'reshape',
      shape: {
        delayMs: between(random, 0, 60),
        jitterMs: between(random, 0, 20),
        bytesPerSecond: between(random, 100_000, 3_000_000),
        loss: random.next() < 0.5 ? 0.01 : 0,
        retransmitMs: 80,
        segmentBytes: between(random, 500, 9_000),
        bufferBytes: between(random, 4_000, 200_000),
      },
      forMs: between(random, 500, 4_000),
    }),
  ],
  [2, (random) => ({ kind: 'restart backend', graceMs: between(random, 0, 800) })],
  [0.5, (random) => ({ kind: 'restart gateway', graceMs: between(random, 0, 800) })],
]

const totalWeight = makers.reduce((sum, [weight]) => sum + weight, 0)

const randomFault = (random: Random): Fault => {
  let dice = random.next() * totalWeight
  for (const [weight, make] of makers) {
    dice -= weight
    if (dice < 0) return make(random)
  }
  return { kind: 'cut' }
}

/** The faults of turn number `turn`, in order, about `everyMs` apart. */
export const faultSchedule = (
  seed: number,
  turn: number,
  options: { readonly turnMs: number; readonly everyMs: number; readonly numBackends: number },
): DueFault[] => {
  const random = seededRandom(seed * 7_919 + turn)
  const faults: DueFault[] = []
  let atMs = between(random, 0, options.everyMs)
  while (atMs < options.turnMs) {
    const backend = between(random, 0, options.numBackends - 1)
    faults.push({ atMs, backend, fault: randomFault(random) })
    atMs += between(random, 0, 2 * options.everyMs)
  }
  return faults
}
