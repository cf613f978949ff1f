/**
 * Softmax over a whole vocabulary, cheap enough for every token. A token's weight is e^−d, where d ≥ 0
 * is how far its logit lies below the largest one: probabilities up to their common sum.
 *
 * Weights are summed in buckets of d, 1/128 wide. The buckets make the exponential a short series, and
 * they order the vocabulary roughly, which is what top-p needs: no sort.
 */

const bucketsPerNat = 128

/** Tokens further down weigh less than 2.4e-16 of the likeliest and count as impossible. */
export const furthest = 36

export const numBuckets = furthest * bucketsPerNat + 1

/** e^−d in the middle of each bucket. */
const middleWeights = Float64Array.from({ length: numBuckets }, (_, bucket) =>
  Math.exp(-(bucket + 0.5) / bucketsPerNat),
)

/**
 * The series of e^−z about the middle of a bucket, z in buckets: right to 1e-8 of its value, less than
 * a 32-bit logit's own last bit.
 */
const slope = 1 / bucketsPerNat
const curvature = slope ** 2 / 2

/** e^−d for d in [0, {@link furthest}]. */
export const weightOf = (d: number): number => {
  const position = d * bucketsPerNat
  const bucket = position | 0
  const z = position - bucket - 0.5
  return middleWeights[bucket]! * (1 - z * (slope - z * curvature))
}

/**
 * Passes over the vocabulary go in blocks, each a call. V8 compiles a function well by what many calls
 * of it did; one call that loops 65,536 times gets code made in the middle of its first run and keeps it,
 * which takes up to four times as long.
 */
const blockSize = 1024

/** The largest logit that is a number; −∞ when there is none. */
export const largest = (logits: Float32Array): number => {
  let max = Number.NEGATIVE_INFINITY
  for (let begin = 0; begin < logits.length; begin += blockSize) {
    max = Math.max(max, largestOfBlock(logits, begin))
  }
  return max
}

/** Four maxima side by side: one alone would wait for itself. */
const largestOfBlock = (logits: Float32Array, begin: number): number => {
  const end = Math.min(begin + blockSize, logits.length)
  let a = Number.NEGATIVE_INFINITY
  let b = a
  let c = a
  let d = a
  let i = begin
  for (; i + 3 < end; i += 4) {
    a = logits[i]! > a ? logits[i]! : a
    b = logits[i + 1]! > b ? logits[i + 1]! : b
    c = logits[i + 2]! > c ? logits[i + 2]! : c
    d = logits[i + 3]! > d ? logits[i + 3]! : d
  }
  for (; i < end; i++) a = logits[i]! > a ? logits[i]! : a
  return Math.max(a, b, c, d)
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
  for (let begin = 0; begin < weighing.logits.length; begin += blockSize) {
    sumSeries(weighing, begin, masses)
  }
  let total = 0
  for (let bucket = 0; bucket < masses.length; bucket++) {
    total += masses[bucket]! *= middleWeights[bucket]!
  }
  return total
}

/** What {@link weightOf} multiplies with the bucket's own weight, which is done once for all tokens. */
const sumSeries = (
  { logits, max, sharpness, reach }: Weighing,
  begin: number,
  masses: Float64Array,
): void => {
  const end = Math.min(begin + blockSize, logits.length)
  for (let i = begin; i < end; i++) {
    const d = (max - logits[i]!) * sharpness
    if (d <= reach) {
      const position = d * bucketsPerNat
      const bucket = position | 0
      const z = position - bucket - 0.5
      masses[bucket]! += 1 - z * (slope - z * curvature)
    }
  }
}

/**
 * The tokens of one bucket in the order of their ids.
 * @param into [vocab], overwritten
 */
export const tokensOfBucket = (
  weighing: Weighing,
  bucket: number,
  into: Uint32Array,
): Uint32Array => {
  let count = 0
  for (let begin = 0; begin < weighing.logits.length; begin += blockSize) {
    count = collectBlock(weighing, begin, bucket, into, count)
  }
  return into.subarray(0, count)
}

/**
 * The token of a bucket at which its mass, summed in the order of ids, comes above `at`.
 * @param into [vocab], overwritten
 */
export const tokenInBucket = (
  weighing: Weighing,
  bucket: number,
  at: number,
  into: Uint32Array,
): number => {
  let left = at
  let last = 0
  for (let begin = 0; begin < weighing.logits.length; begin += blockSize) {
    const count = collectBlock(weighing, begin, bucket, into, 0)
    for (let i = 0; i < count; i++) {
      last = into[i]!
      left -= weightOf((weighing.max - weighing.logits[last]!) * weighing.sharpness)
      if (left < 0) return last
    }
  }
  // Rounding.
  return last
}

/** @returns how many tokens `into` has now */
const collectBlock = (
  { logits, max, sharpness, reach }: Weighing,
  begin: number,
  bucket: number,
  into: Uint32Array,
  alreadyIn: number,
): number => {
  const end = Math.min(begin + blockSize, logits.length)
  // The product with a power of two is exact: these are the tokens that were weighed as this bucket's.
  const nearest = bucket / bucketsPerNat
  const next = (bucket + 1) / bucketsPerNat
  let count = alreadyIn
  for (let i = begin; i < end; i++) {
    const d = (max - logits[i]!) * sharpness
    if (d >= nearest && d < next && d <= reach) into[count++] = i
  }
  return count
}

/**
 * ln Σ e^logit.
 * @param max the largest logit
 * @param masses [numBuckets], overwritten
 */
export const logSumExp = (logits: Float32Array, max: number, masses: Float64Array): number =>
  max + Math.log(weighBuckets({ logits, max, sharpness: 1, reach: furthest }, masses))
