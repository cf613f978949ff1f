/** How one sequence gets its next token: what it has already, what it may not have, its random source. */
import type { GenerationRequest, TokenLogprob } from './generation.ts'
import { tokenLogprob } from './logprobs.ts'
import { applyPenalties, hasPenalties, TokenCounts } from './penalties.ts'
import { seededRandom, type Random } from './random.ts'
import { numTopTokens, sample } from './sampler.ts'
import type { SamplerScratch } from './sampler-scratch.ts'
import { logSumExp } from './softmax.ts'

export type PickedToken = {
  readonly token: number
  /** null unless the request asks for it. */
  readonly logprob: TokenLogprob | null
}

export class TokenPicker {
  readonly #request: GenerationRequest
  readonly #endTokens: readonly number[]
  readonly #random: Random
  /** null: no penalty is on. */
  readonly #counts: TokenCounts | null
  #numPicked = 0

  constructor(request: GenerationRequest, endOfSequenceTokens: ReadonlySet<number>) {
    this.#request = request
    this.#endTokens = [...endOfSequenceTokens, ...request.stopTokenIds]
    this.#random = seededRandom(request.sampling.seed)
    this.#counts = hasPenalties(request.sampling) ? new TokenCounts(request.promptTokens) : null
  }

  /**
   * @param logits [vocab] after the sequence's last token; not changed
   * @returns null when nothing can be drawn from the logits
   */
  pick(logits: Float32Array, scratch: SamplerScratch): PickedToken | null {
    const { sampling, logprobs } = this.#request
    const processed = this.#processed(logits, scratch)
    // Where both ask for the likeliest tokens of the same logits, one pass finds them.
    const isShared = logprobs !== null && processed === logits
    const forDraw = numTopTokens(sampling, logits.length)
    const top = scratch.top.select(processed, isShared ? Math.max(logprobs, forDraw) : forDraw)
    const sampled = sample(processed, sampling, this.#random, scratch, top, isShared)
    if (sampled === null) return null
    const { token } = sampled
    this.#counts?.add(token)
    this.#numPicked++
    if (logprobs === null) return { token, logprob: null }
    const likeliest = isShared ? top : scratch.top.select(logits, Math.max(1, logprobs))
    const total = (isShared ? sampled.logSumExp : null) ?? logSumExp(logits, logits[likeliest[0]!]!)
    return { token, logprob: tokenLogprob(logits, token, likeliest.subarray(0, logprobs), total) }
  }

  /** vLLM's order: no end before `minTokens`, biases, penalties. */
  #processed(logits: Float32Array, scratch: SamplerScratch): Float32Array {
    const { sampling, minTokens } = this.#request
    const mustGoOn = this.#numPicked < minTokens
    if (!mustGoOn && sampling.logitBias.length === 0 && this.#counts === null) return logits
    const processed = scratch.logits
    processed.set(logits)
    if (mustGoOn) for (const token of this.#endTokens) processed[token] = Number.NEGATIVE_INFINITY
    for (const [token, bias] of sampling.logitBias) processed[token]! += bias
    if (this.#counts !== null) applyPenalties(processed, this.#counts, sampling)
    return processed
  }
}
