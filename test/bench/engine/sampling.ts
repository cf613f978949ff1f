/**
 * What one token costs in the sampler, at a vocabulary of 65,536: penalties, draw and log-probabilities,
 * without the model. Prints a table over peaked logits (what models mostly give) and flat ones: the best and
 * the median of many, which differ where the machine has other work.
 *
 *   node test/bench/engine/sampling.ts [vocabulary]
 */
import { TokenPicker } from '../../../backend/engine/token-picker.ts'
import { seededRandom } from '../../../backend/engine/random.ts'
import { samplerScratch } from '../../../backend/engine/sampler-scratch.ts'
import { generationRequest, type GivenRequest } from '../../support/generation-request.ts'

const vocabSize = Number(process.argv[2] ?? 65_536)
const warmUps = 300
const rounds = 400

/** Normally distributed: with sd 4 a few tokens hold the mass, with sd 1 tens of thousands share it. */
const normalLogits = (sd: number): Float32Array => {
  const random = seededRandom(1)
  return Float32Array.from(
    { length: vocabSize },
    () => sd * Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next()),
  )
}

const distributions = { 'sd 4': normalLogits(4), 'sd 1': normalLogits(1), equal: normalLogits(0) }

/** 500 distinct ids. */
const promptTokens = Array.from({ length: 500 }, (_, i) => (i * 127) % vocabSize)
const nucleus = { temperature: 0.8, topP: 0.9 }
const penalties = { repetitionPenalty: 1.1, frequencyPenalty: 0.5, presencePenalty: 0.5 }

const settings: Readonly<Record<string, GivenRequest>> = {
  greedy: { sampling: { temperature: 0 } },
  temperature: { sampling: { temperature: 0.8 } },
  'top-k 50, top-p 0.9': { sampling: { ...nucleus, topK: 50 } },
  'top-p 0.9': { sampling: nucleus },
  'min-p 0.05': { sampling: { temperature: 0.8, minP: 0.05 } },
  'top-k 1000, top-p 0.9': { sampling: { ...nucleus, topK: 1_000 } },
  'penalties, top-k 50, top-p 0.9': {
    promptTokens,
    sampling: { ...nucleus, ...penalties, topK: 50 },
  },
  'penalties, top-p 0.9': { promptTokens, sampling: { ...nucleus, ...penalties } },
  'logprobs 5, greedy': { logprobs: 5, sampling: { temperature: 0 } },
  'logprobs 5, top-k 50, top-p 0.9': { logprobs: 5, sampling: { ...nucleus, topK: 50 } },
  'logprobs 5, top-p 0.9': { logprobs: 5, sampling: nucleus },
  'logprobs 5, temperature 1': { logprobs: 5, sampling: { temperature: 1 } },
}

const milliseconds = (given: GivenRequest, logits: Float32Array): string => {
  const picker = new TokenPicker(generationRequest(given), new Set())
  const scratch = samplerScratch(vocabSize)
  for (let i = 0; i < warmUps; i++) picker.pick(logits, scratch)
  const times = Array.from({ length: rounds }, () => {
    const startedAt = performance.now()
    picker.pick(logits, scratch)
    return performance.now() - startedAt
  })
  times.sort((a, b) => a - b)
  return [0, rounds / 2].map((i) => (times[i] ?? Number.NaN).toFixed(3)).join(' / ')
}

console.log(`ms a token, best / median of ${rounds}, vocabulary ${vocabSize}`)
console.table(
  Object.fromEntries(
    Object.entries(settings).map(([name, given]) => [
      name,
      Object.fromEntries(
        Object.entries(distributions).map(([kind, logits]) => [kind, milliseconds(given, logits)]),
      ),
    ]),
  ),
)
