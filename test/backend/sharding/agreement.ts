/** Whether a sharded model computes what the whole one does: logits and greedy text of 20 prompts. */
import { bundledModelFolder } from '../../../backend/config.ts'
import type { DecoderPort } from '../../../backend/engine/step-loop.ts'
import type { ParallelSizes } from '../../../backend/graph/shard-plan.ts'
import { loadTokenizer } from '../../../backend/tokenizer/load-tokenizer.ts'

/** Every combination that is promised. */
export const combinations: readonly ParallelSizes[] = [1, 2, 4, 8].flatMap((tensorParallelSize) =>
  [1, 2, 3, 4].map((pipelineParallelSize) => ({ tensorParallelSize, pipelineParallelSize })),
)

const questions = [
  '3+5=?',
  'What is the capital of France?',
  'Write a poem about a river and the sea.',
  '17 - 9 =',
  'Hello!',
  'Translate to Chinese: good morning',
  '你好，你是谁？',
  'def fibonacci(n):',
  'The quick brown fox',
  'Why is the sky blue? Answer in one sentence.',
]

/** Of the bundled model, of 3 to 260 tokens: each question alone, and after a story. */
export const agreementPrompts = (): number[][] => {
  const tokenizer = loadTokenizer(bundledModelFolder)
  const story = 'Once upon a time there was a burrow under a hill. '
  return questions.flatMap((question, index) => [
    tokenizer.encode(question, true),
    tokenizer.encode(`${story.repeat(index + 1)}${question}`, true).slice(0, 260),
  ])
}

export const agreementOptions = { slots: 20, capacity: 512, intraOpNumThreads: 1 }

/** Where the prompt is cut for prefill: whole, or in chunks of any size. */
const chunksOf = (prompt: readonly number[], index: number): number[][] => {
  const first = [prompt.length, 1, 2, Math.ceil(prompt.length / 2), 33][index % 5] ?? 1
  return [prompt.slice(0, first), prompt.slice(first)].filter((chunk) => chunk.length > 0)
}

/** Copies of the logits of each step. */
export type Recording = { readonly prefill: Float32Array[]; readonly decode: Float32Array[] }

const indexOfMax = (logits: Float32Array): number =>
  logits.reduce((best, value, index) => (value > logits[best]! ? index : best), 0)

const rowsOf = (logits: Float32Array, numRows: number): Float32Array[] => {
  const width = logits.length / numRows
  return Array.from({ length: numRows }, (_, row) =>
    logits.subarray(row * width, (row + 1) * width),
  )
}

/**
 * Prefills each prompt in its own slot and decodes all of them together.
 * @param follow decode takes the greedy tokens of this recording, else its own
 */
export const record = (
  decoder: DecoderPort,
  prompts: readonly (readonly number[])[],
  numSteps: number,
  follow?: Recording,
): Recording => {
  const prefill: Float32Array[] = []
  let last: Float32Array[] = prompts.map((prompt, slot) => {
    let past = 0
    let logits: Float32Array = new Float32Array()
    for (const chunk of chunksOf(prompt, slot)) {
      logits = Float32Array.from(decoder.prefill(slot, past, chunk))
      prefill.push(logits)
      past += chunk.length
    }
    return logits
  })
  if (follow) {
    const lengths = prompts.map((prompt, slot) => chunksOf(prompt, slot).length)
    let end = 0
    last = lengths.map((length) => follow.prefill[(end += length) - 1] ?? new Float32Array())
  }
  const decode: Float32Array[] = []
  for (let step = 0; step < numSteps; step++) {
    const lengths = prompts.map((prompt) => prompt.length + step)
    decode.push(Float32Array.from(decoder.decode(0, last.map(indexOfMax), lengths)))
    last = rowsOf(follow?.decode[step] ?? decode[step] ?? new Float32Array(), prompts.length)
  }
  return { prefill, decode }
}

export type Agreement = {
  readonly maxDifference: number
  /** Tokens that were chosen. */
  readonly numTokens: number
  /** Of those, chosen otherwise where the whole model's top two logits are within 2e-4. */
  readonly nearTies: number
  /** And where they are not. */
  readonly wrongTokens: number
}

const nearTie = 2e-4

/** The two largest logits' difference. */
const lead = (logits: Float32Array): number => {
  const [second = 0, first = 0] = logits.toSorted().subarray(-2)
  return first - second
}

export const agreement = (
  expected: Recording,
  actual: Recording,
  numPrompts: number,
): Agreement => {
  let maxDifference = 0
  let [numTokens, nearTies, wrongTokens] = [0, 0, 0]
  const compare = (a: Float32Array, b: Float32Array): void => {
    for (let i = 0; i < a.length; i++) {
      const difference = Math.abs(a[i]! - b[i]!)
      // NaN is a difference too.
      if (!(difference <= maxDifference)) maxDifference = difference
    }
    numTokens++
    if (indexOfMax(a) === indexOfMax(b)) return
    if (lead(a) <= nearTie) nearTies++
    else wrongTokens++
  }
  for (const [i, logits] of expected.prefill.entries()) {
    compare(logits, actual.prefill[i] ?? new Float32Array())
  }
  for (const [step, logits] of expected.decode.entries()) {
    const other = rowsOf(actual.decode[step] ?? new Float32Array(), numPrompts)
    for (const [row, mine] of rowsOf(logits, numPrompts).entries()) {
      compare(mine, other[row] ?? new Float32Array())
    }
  }
  return { maxDifference, numTokens, nearTies, wrongTokens }
}
