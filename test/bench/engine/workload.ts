/** What each system is asked to do in its own process, and how that is timed: the same for all. */
import { randomSource } from '../../backend/graph/random-source.ts'
import { shape135M } from './models/random-llama.ts'
import { processMemory, type Memory } from './process-memory.ts'

/**
 * `one` sequence at a time, or `sixteen` together: each with no more context than it needs. The workload is repeated
 * in the process. `brief` is as `one` and takes a quarter of its time: enough to choose between settings.
 */
export const scenarios = {
  one: { numSequences: 1, contextSize: 768, newTokens: 128, repeats: 3 },
  sixteen: { numSequences: 16, contextSize: 288, newTokens: 128, repeats: 1 },
  brief: { numSequences: 1, contextSize: 768, newTokens: 64, repeats: 1 },
} as const

export type Scenario = keyof typeof scenarios

export const sampling = { temperature: 0.8, topK: 40, topP: 0.95 } as const

const promptLength = 128
const longPromptLength = 512

/** A system under test, loaded. */
export type System = {
  /** Generates `maxTokens` tokens, whatever they are, and calls `onToken` with each as it arrives. */
  generate(prompt: readonly number[], maxTokens: number, onToken: () => void): Promise<void>
  close(): Promise<void>
}

export type Measured = {
  /** From the first call of the system's API until it is ready for prompts. */
  readonly loadMs: number
  /** From the start of the process. */
  readonly firstTokenMs: number
  readonly loaded: Memory
  /** After all that follows. */
  readonly used: Memory
  /** To the first token of a prompt of 512; not of `sixteen`. */
  readonly prefillMs: readonly number[]
  /** While all sequences decode. */
  readonly decodeTokensPerSecond: readonly number[]
  /** From the requests to the last token, prompts included. */
  readonly wholeTokensPerSecond: readonly number[]
}

const random = randomSource(7)

const { vocabSize } = shape135M

/** Anew each time: no cache of prompts helps. */
const randomPrompt = (length: number): number[] =>
  Array.from({ length }, () => 300 + Math.floor(((random() + 1) / 2) * (vocabSize - 300)))

const prefill = async (system: System): Promise<number> => {
  const prompt = randomPrompt(longPromptLength)
  const startedAt = performance.now()
  let elapsed = 0
  await system.generate(prompt, 1, () => (elapsed = performance.now() - startedAt))
  return elapsed
}

/** Tokens a second, decoding alone and as a whole. */
const decode = async (
  system: System,
  { numSequences, newTokens }: (typeof scenarios)[Scenario],
): Promise<{ readonly decoding: number; readonly whole: number }> => {
  const startedAt = performance.now()
  const arrivals = Array.from({ length: numSequences }, (): number[] => [])
  await Promise.all(
    arrivals.map((times) =>
      system.generate(randomPrompt(promptLength), newTokens, () => times.push(performance.now())),
    ),
  )
  const endedAt = performance.now()
  // From when the last prompt is done until the first sequence ends, all of them decode.
  const from = Math.max(...arrivals.map((times) => times[0] ?? Infinity))
  const to = Math.min(...arrivals.map((times) => times.at(-1) ?? -Infinity))
  const numTokens = arrivals.flat().filter((time) => time > from && time <= to).length
  return {
    decoding: numTokens / ((to - from) / 1000),
    whole: (numSequences * newTokens) / ((endedAt - startedAt) / 1000),
  }
}

export const measure = async (
  load: () => Promise<System>,
  scenario: Scenario,
): Promise<Measured> => {
  const startedAt = performance.now()
  const system = await load()
  const loadMs = performance.now() - startedAt
  const loaded = processMemory()
  let firstTokenMs = 0
  await system.generate(randomPrompt(16), 1, () => (firstTokenMs = performance.now()))
  const sizes = scenarios[scenario]
  const [prefillMs, decodeTokensPerSecond, wholeTokensPerSecond]: number[][] = [[], [], []]
  for (let repeat = 0; repeat < sizes.repeats; repeat++) {
    if (sizes.numSequences === 1) prefillMs?.push(await prefill(system))
    const { decoding, whole } = await decode(system, sizes)
    decodeTokensPerSecond?.push(decoding)
    wholeTokensPerSecond?.push(whole)
  }
  const used = processMemory()
  await system.close()
  return {
    loadMs,
    firstTokenMs,
    loaded,
    used,
    prefillMs: prefillMs ?? [],
    decodeTokensPerSecond: decodeTokensPerSecond ?? [],
    wholeTokensPerSecond: wholeTokensPerSecond ?? [],
  }
}
