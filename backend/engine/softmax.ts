/**
 * Softmax over a whole vocabulary, cheap enough for every token. A token's weight is e^−d, where d ≥ 0
 * is how far its logit lies below the largest one: probabilities up to their common sum.
 *
 * Weights are summed in buckets of d, 1/128 wide. The buckets make the exponential a short series, and
 * they order the vocabulary roughly, which is what top-p needs: no sort.
 */
import { vocabularyBlock } from './vocabulary-block.ts'

const bucketsPerNat = 128

/** Tokens further down weigh less than 2.4e-16 of the likeliest and count as impossible. */
export const furthest = 36

/** The same for the loops here: V8 reads what a module exports anew in each turn. */
const last = furthest

/** The first of {@link numSpares} buckets that impossible tokens go to while others are weighed. */
const impossible = furthest * bucketsPerNat + 1

/** Sums that follow each other into one bucket would wait for each other. */
const numSpares = 8

export const numBuckets = impossible + numSpares

/** e^−d in the middle of each bucket; impossible tokens weigh nothing. */
const middleWeights = Float64Array.from({ length: numBuckets }, (_, bucket) =>
  bucket < impossible ? Math.exp(-(bucket + 0.5) / bucketsPerNat) : 0,
)

/**
 * The series of e^−z about the middle of a bucket, z in buckets: right to 1e-8 of its value, less than
 * a 32-bit logit's own last bit.
 */
const slope = 1 / bucketsPerNat
const curvature = slope ** 2 / 2

/** e^−d for d in [0, {@link furthest}]. */
export const weightOf = (d: number): number => weightAt(d * bucketsPerNat)

/** @param position d in buckets */
const weightAt = (position: number): number => {
  const bucket = position | 0
  const z = position - bucket - 0.5
  return middleWeights[bucket]! * (1 - z * (slope - z * curvature))
}

/** The logits as the sampler weighs them: d = (max − logit) · sharpness, up to `reach`. */
export type Weighing = {
  readonly logits: Float32Array
  readonly max: number
  /** 1 / temperature. */
  readonly sharpness: number
  /** Tokens with a larger d are impossible; at most {@link furthest}. */
  readonly reach: number
}

/**
 * Fills `masses` with the weight of each bucket. Logits that are NaN weigh nothing.
 * @param masses [numBuckets]
 * @returns their sum
 */
export const weighBuckets = (weighing: Weighing, masses: Float64Array): number => {
  masses.fill(0)
  for (let begin = 0; begin < weighing.logits.length; begin += vocabularyBlock) {
    sumSeries(weighing, begin, masses)
  }
  return finished(masses)
}

/**
 * The same, and in the same pass what the model itself gives.
 * @returns `plainMass`: Σ e^(logit − max) of the whole vocabulary
 */
export const weighTwice = (weighing: Weighing, masses: Float64Array) => {
  masses.fill(0)
  let plainMass = 0
  for (let begin = 0; begin < weighing.logits.length; begin += vocabularyBlock) {
    plainMass += sumSeriesAndWeights(weighing, begin, masses)
  }
  return { mass: finished(masses), plainMass }
}

/**
 * The same where all tokens within reach are known.
 * @param tokens may have others too
 */
export const weighTokens = (
  weighing: Weighing,
  tokens: Uint32Array,
  masses: Float64Array,
): number => {
  masses.fill(0)
  let total = 0
  for (const token of tokens) {
    const d = distance(weighing, token)
    if (!(d <= weighing.reach)) continue
    const weight = weightOf(d)
    masses[bucketOf(d, weighing)]! += weight
    total += weight
  }
  return total
}

/** Sums of series → masses. @returns their sum */
const finished = (masses: Float64Array): number => {
  let total = 0
  for (let bucket = 0; bucket < masses.length; bucket++) {
    total += masses[bucket]! *= middleWeights[bucket]!
  }
  return total
}

/**
 * What {@link weightOf} multiplies with the bucket's own weight, which is done once for all tokens. Every
 * token goes to some bucket: behind a condition, V8 would look up the memory of `masses` for each anew,
 * which takes half as long again.
 */
const sumSeries = (
  { logits, max, sharpness, reach }: Weighing,
  begin: number,
  masses: Float64Array,
): void => {
  const end = Math.min(begin + vocabularyBlock, logits.length)
  for (let i = begin; i < end; i++) {
    const d = (max - logits[i]!) * sharpness
    const position = d <= reach ? d * bucketsPerNat : impossible + (i % numSpares)
    const bucket = position | 0
    const z = position - bucket - 0.5
    masses[bucket]! += 1 - z * (slope - z * curvature)
  }
}

/** {@link sumSeries}, and the sum of the weights at sharpness 1. */
const sumSeriesAndWeights = (
  { logits, max, sharpness, reach }: Weighing,
  begin: number,
  masses: Float64Array,
): number => {
  const end = Math.min(begin + vocabularyBlock, logits.length)
  let sum = 0
  for (let i = begin; i < end; i++) {
    const below = max - logits[i]!
    sum += weightAt(below <= last ? below * bucketsPerNat : impossible)
    const d = below * sharpness
    const position = d <= reach ? d * bucketsPerNat : impossible + (i % numSpares)
    const bucket = position | 0
    const z = position - bucket - 0.5
    masses[bucket]! += 1 - z * (slope - z * curvature)
  }
  return sum
}

/** The bucket of a token so far down; infinity for one beyond reach. */
export const bucketOf = (d: number, { reach }: Weighing): number =>
  d <= reach ? (d * bucketsPerNat) | 0 : Number.POSITIVE_INFINITY

/** The d from which the bucket's tokens are, and that from which the next one's: exact, as weighed. */
export const boundsOf = (bucket: number) => ({
  nearest: bucket / bucketsPerNat,
  next: (bucket + 1) / bucketsPerNat,
})

/** How far a token lies below the likeliest. */
export const distance = ({ logits, max, sharpness }: Weighing, token: number): number =>
  (max - logits[token]!) * sharpness

/** The token at which the mass `at` is reached, summed in the order of `tokens`. */
export const pick = (weighing: Weighing, tokens: Uint32Array, at: number): number => {
  let left = at
  for (const token of tokens) {
    left -= weightOf(distance(weighing, token))
    if (left < 0) return token
  }
  // Rounding.
  return tokens[tokens.length - 1]!
}

/**
 * ln Σ e^logit.
 * @param max the largest logit
 */
export const logSumExp = (logits: Float32Array, max: number): number => {
  let total = 0
  for (let begin = 0; begin < logits.length; begin += vocabularyBlock) {
    total += weightOfBlock(logits, max, begin)
  }
  return max + Math.log(total)
}

/** Two sums side by side: one alone would wait for itself. */
const weightOfBlock = (logits: Float32Array, max: number, begin: number): number => {
  const end = Math.min(begin + vocabularyBlock, logits.length)
  let even = 0
  let odd = 0
  let i = begin
  for (; i + 1 < end; i += 2) {
    const d = max - logits[i]!
    const e = max - logits[i + 1]!
    even += weightAt(d <= last ? d * bucketsPerNat : impossible)
    odd += weightAt(e <= last ? e * bucketsPerNat : impossible)
  }
  if (i < end && max - logits[i]! <= last) even += weightOf(max - logits[i]!)
  return even + odd
}
