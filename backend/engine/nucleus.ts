/** A draw from the whole vocabulary, or from its nucleus: the likeliest tokens that hold `topP` of the mass. */
import { leastKept } from './least-kept.ts'
import type { Random } from './random.ts'
import type { SamplerScratch } from './sampler-scratch.ts'
import { tokenInBucket, tokensOfBucket, tokensWithinReach } from './bucket-tokens.ts'
import {
  bucketOf,
  distance,
  furthest,
  pick,
  weighBuckets,
  weighTokens,
  weighTwice,
  type Weighing,
} from './softmax.ts'

export type Drawn = {
  readonly token: number
  /** Σ e^(logit − max) of the whole vocabulary, where the draw came by it. */
  readonly plainMass: number | null
}

/** All the tokens of the first `numBuckets` buckets, with or without others; infinity: all that are possible. */
type KnownTokens = {
  readonly tokens: Uint32Array
  readonly numBuckets: number
}

/**
 * @param top the likeliest tokens in order; the more, the fewer passes over the vocabulary
 * @param wantsPlainMass whether a pass for it alone would follow
 */
export const drawFromAll = (
  weighing: Weighing,
  topP: number,
  random: Random,
  top: Uint32Array,
  scratch: SamplerScratch,
  wantsPlainMass: boolean,
): Drawn => {
  const known = knownTokens(weighing, top, scratch)
  const { mass, plainMass } = weighed(weighing, known, wantsPlainMass, scratch)
  return { token: drawFromBuckets(weighing, topP * mass, mass, random, known, scratch), plainMass }
}

const knownTokens = (
  weighing: Weighing,
  top: Uint32Array,
  { possible }: SamplerScratch,
): KnownTokens => {
  const numBuckets = bucketOf(distance(weighing, top[top.length - 1]!), weighing)
  if (numBuckets === Number.POSITIVE_INFINITY || weighing.reach === furthest)
    return { tokens: top, numBuckets }
  // Min-p mostly leaves few tokens: to find them costs less than to weigh all.
  const tokens = tokensWithinReach(weighing, possible)
  return tokens.length <= fewTokens
    ? { tokens, numBuckets: Number.POSITIVE_INFINITY }
    : { tokens: top, numBuckets }
}

/** Less work than a pass over a vocabulary. */
const fewTokens = 4096

const weighed = (
  weighing: Weighing,
  known: KnownTokens,
  wantsPlainMass: boolean,
  { masses }: SamplerScratch,
) => {
  if (known.numBuckets === Number.POSITIVE_INFINITY) {
    return { mass: weighTokens(weighing, known.tokens, masses), plainMass: null }
  }
  const isPlain = weighing.sharpness === 1 && weighing.reach === furthest
  if (wantsPlainMass && !isPlain) return weighTwice(weighing, masses)
  const mass = weighBuckets(weighing, masses)
  return { mass, plainMass: isPlain ? mass : null }
}

/** @param wanted of the total, what the nucleus holds at least */
const drawFromBuckets = (
  weighing: Weighing,
  wanted: number,
  total: number,
  random: Random,
  known: KnownTokens,
  { masses, tokens, edgeLogits }: SamplerScratch,
): number => {
  const pickAt = (at: number): number => {
    const { bucket, left } = positionOf(masses, at)
    return bucket < known.numBuckets
      ? pick(weighing, knownOfBucket(weighing, bucket, known, tokens), left)
      : tokenInBucket(weighing, bucket, left, tokens)
  }
  if (wanted >= total) return pickAt(random.next() * total)

  // The nucleus: all buckets before the edge, and the likeliest tokens of the edge. Which these are
  // takes another pass, so the first draw takes the whole edge, and is repeated if it falls outside.
  const edge = positionOf(masses, wanted)
  const before = wanted - edge.left
  const at = random.next() * (before + masses[edge.bucket]!)
  if (at < before) return pickAt(at)
  const edgeTokens =
    edge.bucket < known.numBuckets
      ? knownOfBucket(weighing, edge.bucket, known, tokens)
      : tokensOfBucket(weighing, edge.bucket, tokens)
  const { count, mass } = keepLikeliest(weighing, edgeTokens, edge.left, edgeLogits)
  const kept = edgeTokens.subarray(0, count)
  if (at - before < mass) return pick(weighing, kept, at - before)
  const again = random.next() * (before + mass)
  return again < before ? pickAt(again) : pick(weighing, kept, again - before)
}

/**
 * The tokens of one bucket in the order of their ids.
 * @param into [vocab], overwritten
 */
const knownOfBucket = (
  weighing: Weighing,
  bucket: number,
  known: KnownTokens,
  into: Uint32Array,
): Uint32Array => {
  let count = 0
  for (const token of known.tokens) {
    if (bucketOf(distance(weighing, token), weighing) === bucket) into[count++] = token
  }
  return into.subarray(0, count).sort()
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
  const { least, mass, equals } = leastKept(weighing, values.subarray(0, tokens.length), wanted)
  let left = equals
  let count = 0
  for (const token of tokens) {
    const logit = logits[token]!
    if (logit > least || (logit === least && left-- > 0)) tokens[count++] = token
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
