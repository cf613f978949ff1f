/** What holds for every schedule: random ones, run on a device that knows which row belongs to whom. */
import { describe, expect, test } from 'vitest'
import { seededRandom } from '../../../backend/engine/random.ts'
import { Scheduler } from '../../../backend/engine/scheduler.ts'
import { tokensLeft, type ScheduledSequence } from '../../../backend/engine/scheduled-sequence.ts'
import { ModelledDevice, nextToken } from './modelled-device.ts'

const capacity = 64

type TestSequence = ScheduledSequence & {
  readonly tokens: number[]
  readonly promptTokens: number
  readonly maxTokens: number
  readonly addedAt: number
}

type Limits = { numSlots: number; maxNumSeqs: number; maxNumBatchedTokens: number }

/** Scheduler and device together, as the step loop drives them. */
class Bench {
  readonly scheduler: Scheduler<TestSequence>
  readonly alive = new Set<TestSequence>()
  readonly done: TestSequence[] = []
  steps = 0
  readonly #device: ModelledDevice
  readonly #limits: Limits

  constructor(limits: Limits) {
    this.#limits = limits
    this.#device = new ModelledDevice(limits.numSlots, capacity)
    this.scheduler = new Scheduler(limits, this.#device)
  }

  add(prompt: readonly number[], given: Partial<TestSequence> = {}): TestSequence {
    const added: TestSequence = {
      tokens: [...prompt],
      cachedTokens: 0,
      reusableTokens: Infinity,
      priority: 0,
      cacheSalt: '',
      promptTokens: prompt.length,
      maxTokens: 1,
      addedAt: this.steps,
      ...given,
    }
    this.alive.add(added)
    this.scheduler.add(added)
    return added
  }

  remove(sequence: TestSequence, keepRows = true): void {
    this.alive.delete(sequence)
    this.scheduler.remove(sequence, { keepRows })
  }

  /** One step, with all that must hold in any. */
  step(): void {
    this.steps++
    const decoding = this.scheduler.beginStep()
    for (const [slot, sequence] of decoding.entries()) {
      if (tokensLeft(sequence) !== 1)
        throw new Error('a decoding sequence has one token to compute')
      this.#device.run(slot, sequence, 1)
      sequence.cachedTokens++
    }
    for (const sequence of decoding) this.#append(sequence)
    let computed = decoding.length
    const prefilled = new Set<TestSequence>()
    for (;;) {
      const prefill = this.scheduler.nextPrefill()
      if (prefill === null) break
      const { sequence, slot, numTokens } = prefill
      if (numTokens < 1 || prefilled.has(sequence)) throw new Error('not one chunk a sequence')
      prefilled.add(sequence)
      this.#device.run(slot, sequence, numTokens)
      sequence.cachedTokens += numTokens
      computed += numTokens
      if (tokensLeft(sequence) > 0) continue
      this.scheduler.startDecoding(sequence)
      this.#append(sequence)
    }
    const { running, waiting } = this.scheduler.stats()
    const { maxNumSeqs, maxNumBatchedTokens } = this.#limits
    if (computed > maxNumBatchedTokens) throw new Error(`${computed} tokens in a step`)
    if (running > maxNumSeqs) throw new Error(`${running} sequences run`)
    if (running + waiting !== this.alive.size) throw new Error('a sequence was lost or kept')
    if (computed === 0 && this.alive.size > 0) throw new Error('a step without work')
  }

  /** Steps until nothing is left. */
  finish(maxSteps: number): void {
    const end = this.steps + maxSteps
    while (this.alive.size > 0) {
      if (this.steps >= end) throw new Error(`${this.alive.size} sequences are not served`)
      this.step()
    }
  }

  #append(sequence: TestSequence): void {
    sequence.tokens.push(nextToken(sequence.tokens))
    if (sequence.tokens.length - sequence.promptTokens < sequence.maxTokens) return
    this.done.push(sequence)
    this.remove(sequence)
  }
}

/** What the sequence must come to, computed alone and at once. */
const expectedTokens = ({ tokens, promptTokens, maxTokens }: TestSequence): number[] => {
  const expected = tokens.slice(0, promptTokens)
  while (expected.length < promptTokens + maxTokens) expected.push(nextToken(expected))
  return expected
}

const dice = (seed: number) => {
  const random = seededRandom(seed)
  /** A whole number from 0 to `below` − 1. */
  return (below: number): number => Math.floor(random.next() * below)
}

const randomBench = (roll: (below: number) => number): Bench => {
  const maxNumSeqs = 1 + roll(5)
  return new Bench({
    maxNumSeqs,
    numSlots: maxNumSeqs + roll(5),
    maxNumBatchedTokens: maxNumSeqs + 1 + roll(20),
  })
}

test('random schedules: each sequence gets its own tokens, all of them, and no slot is lost', () => {
  const totals = { done: 0, preemptions: 0, hits: 0 }
  for (let round = 0; round < 3_000; round++) {
    const roll = dice(round)
    const bench = randomBench(roll)
    // Prompts are beginnings of a few texts with tails of their own.
    const texts = Array.from({ length: 3 }, () => Array.from({ length: 30 }, () => roll(5)))
    for (let i = 0; i < 20; i++) {
      const text = texts[roll(texts.length)] ?? []
      const tail = Array.from({ length: 1 + roll(8) }, () => roll(5))
      bench.add([...text.slice(0, roll(30)), ...tail], {
        priority: roll(3),
        cacheSalt: `tenant ${roll(2)}`,
        maxTokens: 1 + roll(20),
      })
      for (let steps = roll(6); steps > 0; steps--) bench.step()
      const victim = [...bench.alive][roll(20)]
      if (victim && roll(8) === 0) bench.remove(victim, roll(2) === 0)
    }
    // A step computes a token at least; what is preempted may have to be computed again.
    bench.finish(20 * capacity * (1 + bench.scheduler.stats().preemptions) + 1_000)
    for (const sequence of bench.done) expect(sequence.tokens).toEqual(expectedTokens(sequence))
    const stats = bench.scheduler.stats()
    totals.done += bench.done.length
    totals.preemptions += stats.preemptions
    totals.hits += stats.prefixCacheHits
    // Every slot can be had again.
    for (let i = 0; i < 8; i++) bench.add([i], { maxTokens: 3 })
    bench.finish(100)
  }
  // The schedules had in them what they are to test.
  expect(totals.done).toBeGreaterThan(40_000)
  expect(totals.preemptions).toBeGreaterThan(3_000)
  expect(totals.hits).toBeGreaterThan(50_000)
})

describe('nobody waits for ever', () => {
  /** Steps until `sequence` is done, while `before` adds others before each. */
  const stepsUntilDone = (bench: Bench, sequence: TestSequence, before: () => void): number => {
    while (bench.alive.has(sequence)) {
      if (bench.steps - sequence.addedAt > 2_000) throw new Error('not served within 2000 steps')
      before()
      bench.step()
    }
    return bench.steps - sequence.addedAt
  }

  test('a request of the lowest priority behind an endless stream of important ones', () => {
    for (let round = 0; round < 300; round++) {
      const roll = dice(round)
      const bench = randomBench(roll)
      const prompt = () => Array.from({ length: 1 + roll(6) }, () => roll(5))
      const humble = bench.add(prompt(), { priority: 9, maxTokens: 1 + roll(9) })
      // More than there is room for, so that those who wait become more and more.
      const steps = stepsUntilDone(bench, humble, () => {
        bench.add(prompt(), { maxTokens: 1 + roll(4) })
      })
      expect(steps).toBeLessThan(250)
    }
  })

  test('a long prompt among an endless stream of short ones, and the short ones behind it', () => {
    for (let round = 0; round < 300; round++) {
      const roll = dice(round)
      const bench = new Bench({ maxNumSeqs: 4, numSlots: 4 + roll(4), maxNumBatchedTokens: 16 })
      const short = (maxTokens: number) =>
        bench.add(
          Array.from({ length: 8 }, () => roll(5)),
          { cacheSalt: `${roll(1e9)}`, maxTokens },
        )
      const long = bench.add(
        Array.from({ length: 60 }, () => roll(5)),
        { cacheSalt: 'long', maxTokens: 1 },
      )
      bench.step()
      expect(stepsUntilDone(bench, short(1), () => {})).toBe(1)
      // More than fills each step, and each leaves its slot at once.
      const steps = stepsUntilDone(bench, long, () => {
        for (let i = 0; i < 4; i++) short(1)
      })
      // 16 + 8 tokens until here; a quarter of the 16, 4, is its share of each step to come.
      expect(steps).toBeLessThanOrEqual(2 + 9)
    }
  })

  test('two long prompts beside each other', () => {
    const bench = new Bench({ maxNumSeqs: 2, numSlots: 2, maxNumBatchedTokens: 8 })
    for (const cacheSalt of ['a', 'b']) bench.add(Array(40).fill(1), { cacheSalt })
    bench.finish(10)
    expect(bench.done.map(({ cacheSalt }) => cacheSalt)).toEqual(['a', 'b'])
  })
})
