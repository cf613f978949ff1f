/** What each system is asked to do, and how that is timed: the same for all. */
import { randomSource } from '../../backend/graph/random-source.ts'
import { shape135M } from './models/random-llama.ts'

/** A system under test, loaded. */
export type System = {
  /** Generates `maxTokens` tokens, whatever they are, and calls `onToken` with each as it arrives. */
  generate(prompt: readonly number[], maxTokens: number, onToken: () => void): Promise<void>
  close(): Promise<void>
}

/** One after the other or many together: what a process is started for. */
export const scenarios = {
  /** With no more context than it needs. */
  one: { numSequences: 1, contextSize: 768, turns: 4, works: ['prefill', 'decode'] },
  /** Fewer turns: they are the longest. */
  sixteen: { numSequences: 16, contextSize: 288, turns: 2, works: ['decodeMany'] },
} as const

export type Scenario = keyof typeof scenarios
export type Work = (typeof scenarios)[Scenario]['works'][number]

export const sampling = { temperature: 0.8, topK: 40, topP: 0.95 } as const

const random = randomSource(7)

const { vocabSize } = shape135M

/** Anew each time: no cache of prompts helps. */
const randomPrompt = (length: number): number[] =>
  Array.from({ length }, () => 300 + Math.floor(((random() + 1) / 2) * (vocabSize - 300)))

/** The smallest thing that a system can be asked for. */
export const firstToken = (system: System): Promise<void> =>
  system.generate(randomPrompt(16), 1, () => {})

const prefill = async (system: System, promptLength: number): Promise<number> => {
  const startedAt = performance.now()
  let elapsed = 0
  await system.generate(randomPrompt(promptLength), 1, () => {
    elapsed = performance.now() - startedAt
  })
  return promptLength / (elapsed / 1000)
}

/** While all sequences decode. */
const decode = async (
  system: System,
  sizes: {
    readonly numSequences: number
    readonly promptLength: number
    readonly newTokens: number
  },
): Promise<number> => {
  const arrivals = Array.from({ length: sizes.numSequences }, (): number[] => [])
  await Promise.all(
    arrivals.map((times) =>
      system.generate(randomPrompt(sizes.promptLength), sizes.newTokens, () =>
        times.push(performance.now()),
      ),
    ),
  )
  // From when the last prompt is done until the first sequence ends.
  const from = Math.max(...arrivals.map((times) => times[0] ?? Infinity))
  const to = Math.min(...arrivals.map((times) => times.at(-1) ?? -Infinity))
  const numTokens = arrivals.flat().filter((time) => time > from && time <= to).length
  return numTokens / ((to - from) / 1000)
}

/** One turn of each kind: seconds at most, so that the machine is the same for those who take turns. @returns tokens a second */
export const works: Readonly<Record<Work, (system: System) => Promise<number>>> = {
  prefill: (system) => prefill(system, 512),
  decode: (system) => decode(system, { numSequences: 1, promptLength: 128, newTokens: 128 }),
  decodeMany: (system) => decode(system, { numSequences: 16, promptLength: 64, newTokens: 32 }),
}
