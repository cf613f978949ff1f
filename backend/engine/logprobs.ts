/** Log-probabilities of tokens, for clients that ask for them. */
import type { TokenLogprob } from './generation.ts'
import type { SamplerScratch } from './sampler-scratch.ts'
import { largest, logSumExp } from './softmax.ts'

/**
 * The natural logarithm of the probability that the model itself gives, before biases, penalties,
 * temperature and the rest change anything: what vLLM reports by default (`raw_logprobs`).
 * @param logits [vocab], as the model gave them
 * @param token the one that was sampled
 * @param numTop so many of the likeliest tokens are told beside it, whether it is among them or not
 */
export const tokenLogprob = (
  logits: Float32Array,
  token: number,
  numTop: number,
  scratch: SamplerScratch,
): TokenLogprob => {
  const top = scratch.top.select(logits, numTop)
  const [likeliest] = top
  const max = likeliest === undefined ? largest(logits) : logits[likeliest]!
  const total = logSumExp(logits, max, scratch.masses)
  const logprob = (id: number) => ({ token: id, logprob: logits[id]! - total })
  return { ...logprob(token), top: Array.from(top, logprob) }
}
