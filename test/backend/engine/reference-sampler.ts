/**
 * Sampling as its definition says it, over plain arrays of numbers: the probability of each token after
 * everything that a request may ask for.
 */
import type { GenerationRequest } from '../../../backend/engine/generation.ts'

/**
 * @param output the tokens sampled so far
 * @param endTokens may not come before `minTokens`
 */
export const processedLogits = (
  logits: readonly number[],
  { promptTokens, minTokens, sampling }: GenerationRequest,
  output: readonly number[],
  endTokens: readonly number[],
): number[] =>
  logits.map((raw, token) => {
    if (output.length < minTokens && endTokens.includes(token)) return -Infinity
    const biased = raw + (sampling.logitBias.find(([id]) => id === token)?.[1] ?? 0)
    const count = output.filter((id) => id === token).length
    const isKnown = count > 0 || promptTokens.includes(token)
    const factor = biased > 0 ? 1 / sampling.repetitionPenalty : sampling.repetitionPenalty
    const repeated = isKnown ? biased * factor : biased
    const present = count > 0 ? sampling.presencePenalty : 0
    return repeated - sampling.frequencyPenalty * count - present
  })

export const softmax = (logits: readonly number[], temperature = 1): number[] => {
  const max = Math.max(...logits)
  const weights = logits.map((logit) => Math.exp((logit - max) / temperature))
  const total = weights.reduce((a, b) => a + b)
  return weights.map((weight) => weight / total)
}

/** The probabilities of the draw; for temperature 0 all on the first of the largest logits. */
export const drawProbabilities = (
  logits: readonly number[],
  { temperature, minP, topK, topP }: GenerationRequest['sampling'],
): number[] => {
  if (temperature === 0) {
    const likeliest = logits.indexOf(Math.max(...logits))
    return logits.map((_, token) => (token === likeliest ? 1 : 0))
  }
  const probabilities = softmax(logits, temperature)
  const most = Math.max(...probabilities)
  const likeliestFirst = [...probabilities.keys()].sort(
    (a, b) => probabilities[b]! - probabilities[a]! || a - b,
  )
  const ofMinP = likeliestFirst.filter((token) => probabilities[token]! >= minP * most)
  const ofTopK = topK > 0 ? ofMinP.slice(0, topK) : ofMinP
  const mass = ofTopK.reduce((sum, token) => sum + probabilities[token]!, 0)
  let reached = 0
  const kept = new Set<number>()
  for (const token of ofTopK) {
    if (kept.size > 0 && reached >= topP * mass) break
    kept.add(token)
    reached += probabilities[token]!
  }
  return probabilities.map((probability, token) => (kept.has(token) ? probability / reached : 0))
}
