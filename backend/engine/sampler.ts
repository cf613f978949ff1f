/** Logits → one token, following the usual order: temperature, then top-k, then top-p, then the draw. */
import type { SamplingParams } from './generation.ts'
import type { Random } from './random.ts'

/**
 * @param logits [vocab] of one sequence; not changed
 * @returns null when the logits are no numbers: the model overflowed, and nothing can be drawn
 */
export const sample = (
  logits: Float32Array,
  params: SamplingParams,
  random: Random,
): number | null => {
  const likeliest = argmax(logits)
  if (!Number.isFinite(logits[likeliest])) return null
  if (params.temperature < minTemperature) return likeliest
  const weights = softmaxWeights(logits, params.temperature, logits[likeliest]!)
  const candidates = nucleus(weights, params)
  return candidates === null ? drawFromAll(weights, random) : draw(weights, candidates, random)
}

/** Below this a softmax in 32 bits is greedy anyway, and 1 / temperature may overflow. */
const minTemperature = 1e-5

/** The first of the largest logits. */
export const argmax = (logits: Float32Array): number => {
  let best = 0
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i
  return best
}

/** exp((logit − max) / temperature): probabilities up to their common sum. */
const softmaxWeights = (logits: Float32Array, temperature: number, max: number): Float64Array => {
  const weights = new Float64Array(logits.length)
  for (let i = 0; i < logits.length; i++) {
    // A logit that is NaN gets no weight.
    weights[i] = Math.exp((logits[i]! - max) / temperature) || 0
  }
  return weights
}

/** Tokens that top-k and top-p leave, most likely first; null when neither restricts. */
const nucleus = (weights: Float64Array, params: SamplingParams): Uint32Array | null => {
  const limitsCount = params.topK > 0 && params.topK < weights.length
  const limitsMass = params.topP < 1
  if (!limitsCount && !limitsMass) return null
  if (!limitsCount) {
    const total = sum(weights)
    const sorted = byWeight(weights, tailWeight(total, weights.length, params.topP))
    return smallestMass(weights, sorted, params.topP * total)
  }
  const top = byWeight(weights, kthWeight(weights, params.topK)).subarray(0, params.topK)
  return limitsMass ? smallestMass(weights, top, params.topP * massOf(weights, top)) : top
}

/**
 * All tokens below this weight together hold at most 1 − topP of the mass, so the nucleus never
 * needs them: they need not be sorted.
 */
const tailWeight = (total: number, vocabSize: number, topP: number): number =>
  ((1 - topP) * total) / vocabSize

/** The k-th largest weight, in one pass: sorting a whole vocabulary costs milliseconds a token. */
const kthWeight = (weights: Float64Array, k: number): number => {
  const kept = new Float64Array(2 * k)
  let count = 0
  let least = -1
  for (const weight of weights) {
    if (weight <= least) continue
    kept[count++] = weight
    if (count < kept.length) continue
    // Full: back to the k largest of them.
    kept.sort().copyWithin(0, k)
    count = k
    least = kept[0]!
  }
  return kept.subarray(0, count).sort()[count - k]!
}

const byWeight = (weights: Float64Array, minWeight: number): Uint32Array => {
  const kept = new Uint32Array(weights.length)
  let count = 0
  for (let i = 0; i < weights.length; i++) if (weights[i]! >= minWeight) kept[count++] = i
  // Ties by id, so that the order does not depend on the sort.
  return kept.subarray(0, count).sort((a, b) => weights[b]! - weights[a]! || a - b)
}

/** The shortest beginning of `sorted` that holds at least `wanted` mass; at least one token. */
const smallestMass = (weights: Float64Array, sorted: Uint32Array, wanted: number): Uint32Array => {
  let mass = 0
  let count = 0
  while (count < sorted.length && (count === 0 || mass < wanted)) {
    mass += weights[sorted[count]!]!
    count++
  }
  return sorted.subarray(0, count)
}

const draw = (weights: Float64Array, tokens: Uint32Array, random: Random): number => {
  let left = random.next() * massOf(weights, tokens)
  for (const token of tokens) {
    left -= weights[token]!
    if (left < 0) return token
  }
  return tokens[0]!
}

const massOf = (weights: Float64Array, tokens: Uint32Array): number => {
  let total = 0
  for (const token of tokens) total += weights[token]!
  return total
}

const drawFromAll = (weights: Float64Array, random: Random): number => {
  let left = random.next() * sum(weights)
  for (let i = 0; i < weights.length; i++) {
    left -= weights[i]!
    if (left < 0) return i
  }
  return weights.indexOf(1)
}

const sum = (values: Float64Array): number => {
  let total = 0
  for (const value of values) total += value
  return total
}
