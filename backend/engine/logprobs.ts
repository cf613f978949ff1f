/** Log-probabilities of tokens, for clients that ask for them. */
import type { TokenLogprob } from './generation.ts'
import { logSumExp } from './softmax.ts'

/**
 * The natural logarithm of the probability that the model itself gives, before biases, penalties,
 * temperature and the rest change anything: what vLLM reports by default (`raw_logprobs`).
 * @param logits [vocab], as the model gave them
 * @param token the one that was sampled
 * @param top the likeliest tokens in order, at least one
 * @param numTop so many of these are told beside the token, whether it is among them or not
 * @param masses scratch (softmax.ts)
 */
export const tokenLogprob = (
  logits: Float32Array,
  token: number,
  top: Uint32Array,
  numTop: number,
  masses: Float64Array,
): TokenLogprob => {
  const total = logSumExp(logits, logits[top[0] ?? token]!, masses)
  const logprob = (id: number) => ({ token: id, logprob: logits[id]! - total })
  return { ...logprob(token), top: Array.from(top.subarray(0, numTop), logprob) }
}
