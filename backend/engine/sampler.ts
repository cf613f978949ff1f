/**
 * Logits → one token, in the order of vLLM: temperature, min-p, top-k, top-p, then the
 * draw. Each restricts what the one before it left.
 */
import type { SamplingParams } from './generation.ts'
import { drawFromAll } from './nucleus.ts'
import type { Random } from './random.ts'
import type { SamplerScratch } from './sampler-scratch.ts'
import { distance, furthest, pick, weightOf, type Weighing } from './softmax.ts'

/** What of the parameters the draw needs. */
export type DrawParams = Pick<SamplingParams, 'temperature' | 'topP' | 'topK' | 'minP'>

export type Sampled = {
  readonly token: number
  /** ln Σ e^logit, where the draw came by it. */
  readonly logSumExp: number | null
}

/**
 * @param logits [vocab] of one sequence; not changed
 * @param top the likeliest tokens of these logits in order: {@link numTopTokens} of them or more
 * @param wantsLogSumExp whether the caller would have to compute it otherwise
 * @returns null when the logits are no numbers: the model overflowed, and nothing can be drawn
 */
export const sample = (
  logits: Float32Array,
  params: DrawParams,
  random: Random,
  scratch: SamplerScratch,
  top: Uint32Array,
  wantsLogSumExp: boolean,
): Sampled | null => {
  const likeliest = top[0] ?? 0
  const max = logits[likeliest]!
  if (!Number.isFinite(max)) return null
  if (isGreedy(params)) return { token: likeliest, logSumExp: null }
  const weighing = weighed(logits, max, params)
  const k = keptByTopK(params, logits.length)
  if (k > 0) {
    const token = drawFromTop(weighing, top.subarray(0, k), params.topP, random)
    return { token, logSumExp: null }
  }
  const { topP } = params
  const { token, plainMass } = drawFromAll(weighing, topP, random, top, scratch, wantsLogSumExp)
  return { token, logSumExp: plainMass === null ? null : max + Math.log(plainMass) }
}

/** How many of the likeliest tokens {@link sample} is to be given. */
export const numTopTokens = (params: DrawParams, vocabSize: number): number =>
  isGreedy(params) ? 1 : keptByTopK(params, vocabSize) || numCandidates

/**
 * Where a draw is from the whole vocabulary, it mostly comes to one of the likeliest tokens; to know these
 * costs less than to look for it.
 */
const numCandidates = 32

/** The k of top-k; 0 where it keeps the whole vocabulary. */
const keptByTopK = ({ topK }: DrawParams, vocabSize: number): number =>
  topK < vocabSize ? topK : 0

/** Below this a softmax in 32 bits is greedy anyway, and 1 / temperature may overflow. */
const minTemperature = 1e-5

const isGreedy = ({ temperature }: DrawParams): boolean => temperature < minTemperature

const weighed = (
  logits: Float32Array,
  max: number,
  { temperature, minP }: DrawParams,
): Weighing => ({
  logits,
  max,
  sharpness: 1 / temperature,
  // A token below minP of the likeliest one's probability is impossible.
  reach: Math.min(furthest, Math.max(0, -Math.log(minP))),
})

/** @param top the tokens that top-k leaves, the likeliest first */
const drawFromTop = (
  weighing: Weighing,
  top: Uint32Array,
  topP: number,
  random: Random,
): number => {
  const all = smallestMass(weighing, top, Number.POSITIVE_INFINITY)
  const { count, mass } = topP < 1 ? smallestMass(weighing, top, topP * all.mass) : all
  return pick(weighing, top.subarray(0, count), random.next() * mass)
}

/** How many of `tokens`, from the first on, hold at least `wanted` mass; at least one. */
const smallestMass = (weighing: Weighing, tokens: Uint32Array, wanted: number) => {
  let mass = 0
  let count = 0
  while (count < tokens.length && (count === 0 || mass < wanted)) {
    const d = distance(weighing, tokens[count]!)
    if (!(d <= weighing.reach)) break
    mass += weightOf(d)
    count++
  }
  return { mass, count }
}
