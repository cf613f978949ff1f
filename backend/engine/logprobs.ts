/** Log-probabilities and ranks of tokens, for clients that ask for them. */
import type { TokenLogprob } from './generation.ts'
import { vocabularyBlock } from './vocabulary-block.ts'

/**
 * The natural logarithm of the probability that the model itself gives, before biases, penalties,
 * temperature and the rest change anything: what vLLM reports by default (`raw_logprobs`).
 * @param logits [vocab], as the model gave them
 * @param token the one that was sampled
 * @param top the likeliest tokens in order, told beside the token, whether it is among them or not
 * @param total ln Σ e^logit
 */
export const tokenLogprob = (
  logits: Float32Array,
  token: number,
  top: Uint32Array,
  total: number,
): TokenLogprob => {
  const logprob = (id: number) => ({ token: id, logprob: logits[id]! - total })
  return { ...logprob(token), top: Array.from(top, logprob) }
}

/**
 * The token's place among all of the vocabulary, 1 for the likeliest; of equals the smaller id is first.
 * @param top the likeliest tokens in order, or some of them
 */
export const rankOf = (logits: Float32Array, token: number, top: Uint32Array): number => {
  const place = top.indexOf(token)
  if (place !== -1) return place + 1
  const own = logits[token]!
  const floor = Number.isNaN(own) ? Number.NEGATIVE_INFINITY : own
  let likelier = 0
  // In blocks, as vocabulary-block.ts explains.
  for (let begin = 0; begin < logits.length; begin += vocabularyBlock) {
    likelier += countAbove(logits, begin, floor)
  }
  for (let id = 0; id < token; id++) if (logits[id] === floor) likelier++
  return likelier + 1
}

const countAbove = (logits: Float32Array, begin: number, floor: number): number => {
  const end = Math.min(begin + vocabularyBlock, logits.length)
  let count = 0
  for (let i = begin; i < end; i++) if (logits[i]! > floor) count++
  return count
}
