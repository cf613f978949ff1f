/**
 * Logits → one token, in the order of vLLM: temperature, min-p, top-k, top-p, then the
 * draw. Each restricts what the one before it left.
 */
import type { SamplingParams } from './generation.ts'
import type { Random } from './random.ts'
import type { SamplerScratch } from './sampler-scratch.ts'
import {
  furthest,
  largest,
  tokenInBucket,
  tokensOfBucket,
  weighBuckets,
  weightOf,
  type Weighing,
} from './softmax.ts'

/** What of the parameters the draw needs. */
export type DrawParams = Pick<SamplingParams, 'temperature' | 'topP' | 'topK' | 'minP'>

/**
 * @param logits [vocab] of one sequence; not changed
 * @param top the likeliest tokens of these logits, at least {@link numTopTokens}, where they are known
 * @returns null when the logits are no numbers: the model overflowed, and nothing can be drawn
 */
export const sample = (
  logits: Float32Array,
  params: DrawParams,
  random: Random,
  scratch: SamplerScratch,
  top: Uint32Array | null = null,
): number | null => {
  const k = numTopTokens(params, logits.length)
  const isGreedy = params.temperature < minTemperature
  if (k > 0 && !isGreedy) {
    const kept = (top ?? scratch.top.select(logits, k)).subarray(0, k)
    return drawFromTop(kept, logits, params, random)
  }
  const likeliest = top?.[0]
  const max = likeliest === undefined ? largest(logits) : logits[likeliest]!
  if (!Number.isFinite(max)) return null
  if (isGreedy) return likeliest ?? logits.indexOf(max)
  return drawFromAll(weighed(logits, max, params), params.topP, random, scratch)
}

/** The k of top-k; 0 where it keeps the whole vocabulary. */
export const numTopTokens = ({ topK }: DrawParams, vocabSize: number): number =>
  topK < vocabSize ? topK : 0

/** Below this a softmax in 32 bits is greedy anyway, and 1 / temperature may overflow. */
const minTemperature = 1e-5

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
  top: Uint32Array,
  logits: Float32Array,
  params: DrawParams,
  random: Random,
): number | null => {
  const max = logits[top[0] ?? 0]!
  if (!Number.isFinite(max)) return null
  const weighing = weighed(logits, max, params)
  const all = smallestMass(weighing, top, Number.POSITIVE_INFINITY)
  const { count, mass } =
    params.topP < 1 ? smallestMass(weighing, top, params.topP * all.mass) : all
  return pick(weighing, top.subarray(0, count), random.next() * mass)
}

const drawFromAll = (
  weighing: Weighing,
  topP: number,
  random: Random,
  { masses, tokens, edgeLogits }: SamplerScratch,
): number => {
  const total = weighBuckets(weighing, masses)
  const pickAt = (at: number): number => {
    const { bucket, left } = positionOf(masses, at)
    return tokenInBucket(weighing, bucket, left, tokens)
  }
  if (topP >= 1) return pickAt(random.next() * total)

  // The nucleus: all buckets before the edge, and the likeliest tokens of the edge. Which these are
  // takes another pass, so the first draw takes the whole edge, and is repeated if it falls outside.
  const edge = positionOf(masses, topP * total)
  const before = topP * total - edge.left
  const at = random.next() * (before + masses[edge.bucket]!)
  if (at < before) return pickAt(at)
  const edgeTokens = tokensOfBucket(weighing, edge.bucket, tokens)
  const { count, mass } = keepLikeliest(weighing, edgeTokens, edge.left, edgeLogits)
  const kept = edgeTokens.subarray(0, count)
  if (at - before < mass) return pick(weighing, kept, at - before)
  const again = random.next() * (before + mass)
  return again < before ? pickAt(again) : pick(weighing, kept, again - before)
}

/**
 * Moves the likeliest of `tokens` to the front, as many as hold `wanted` mass, of equals the ones with
 * smaller ids; their order stays.
 * @param tokens sorted by id
 * @param values [vocab], overwritten
 */
const keepLikeliest = (
  weighing: Weighing,
  tokens: Uint32Array,
  wanted: number,
  values: Float32Array,
) => {
  const { logits } = weighing
  for (let i = 0; i < tokens.length; i++) values[i] = logits[tokens[i]!]!
  // Numbers alone sort natively, several times as fast as tokens by a comparison of ours.
  const sorted = values.subarray(0, tokens.length).sort()
  let mass = 0
  let least = 0
  let equals = 0
  for (let i = sorted.length - 1; i >= 0 && (mass === 0 || mass < wanted); i--) {
    mass += weightOf((weighing.max - sorted[i]!) * weighing.sharpness)
    equals = sorted[i] === least ? equals + 1 : 1
    least = sorted[i]!
  }
  let count = 0
  for (const token of tokens) {
    const logit = logits[token]!
    if (logit > least || (logit === least && equals-- > 0)) tokens[count++] = token
  }
  return { count, mass }
}

/** The bucket in which the mass `at` is reached, counted from the likeliest, and how far into it. */
const positionOf = (masses: Float64Array, at: number) => {
  let left = at
  let last = 0
  for (let bucket = 0; bucket < masses.length; bucket++) {
    const mass = masses[bucket]!
    if (mass === 0) continue
    if (left < mass) return { bucket, left }
    left -= mass
    last = bucket
  }
  // Rounding: `at` was the sum of all.
  return { bucket: last, left: masses[last]! }
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

/** The token at which the mass `at` is reached. */
const pick = (weighing: Weighing, tokens: Uint32Array, at: number): number => {
  let left = at
  for (const token of tokens) {
    left -= weightOf(distance(weighing, token))
    if (left < 0) return token
  }
  // Rounding.
  return tokens[tokens.length - 1]!
}

const distance = ({ logits, max, sharpness }: Weighing, token: number): number =>
  (max - logits[token]!) * sharpness
