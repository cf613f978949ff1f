/** The log-probabilities of one sequence's prompt, as its chunks are computed; none twice, whatever is computed again. */
import type { PromptLogprob } from './generation.ts'
import { rankOf, tokenLogprob } from './logprobs.ts'
import type { SamplerScratch } from './sampler-scratch.ts'
import { logSumExp } from './softmax.ts'

export class PromptScorer {
  readonly #tokens: readonly number[]
  readonly #numTop: number
  /** Tokens of the prompt after which the logits were seen; the token that follows is scored by them. */
  #numSeen = 0

  /** @param numTop so many of the likeliest tokens are told beside each */
  constructor(promptTokens: readonly number[], numTop: number) {
    this.#tokens = promptTokens
    this.#numTop = numTop
  }

  /** Tokens of the beginning that need not be computed for the sake of their logits. */
  get numReusable(): number {
    return this.#isDone ? Number.POSITIVE_INFINITY : this.#numSeen
  }

  /** Of the sequence's tokens before `end`, so many of the last are to be computed with their logits. */
  numLogits(end: number): number {
    return this.#isDone ? 0 : Math.max(0, end - this.#numSeen)
  }

  /**
   * @param logits [numRows, vocab] after the last tokens before `end`: at least those of {@link numLogits}
   * @returns the scores of the tokens that follow those, without any told before; null when some logits
   *   are no numbers
   */
  score(
    logits: Float32Array,
    end: number,
    vocabSize: number,
    scratch: SamplerScratch,
  ): PromptLogprob[] | null {
    const first = end - logits.length / vocabSize
    const scores: PromptLogprob[] = []
    while (this.#numSeen < end && !this.#isDone) {
      const row = this.#numSeen - first
      const score = this.#score(logits.subarray(row * vocabSize, (row + 1) * vocabSize), scratch)
      if (score === null) return null
      scores.push(score)
      this.#numSeen++
    }
    return scores
  }

  /** Nothing follows the last token, and nothing says how probable the first one was. */
  get #isDone(): boolean {
    return this.#numSeen >= this.#tokens.length - 1
  }

  #score(logits: Float32Array, scratch: SamplerScratch): PromptLogprob | null {
    const token = this.#tokens[this.#numSeen + 1]!
    const top = scratch.top.select(logits, Math.max(1, this.#numTop))
    const max = logits[top[0] ?? 0]!
    if (!Number.isFinite(max)) return null
    return {
      ...tokenLogprob(logits, token, top.subarray(0, this.#numTop), logSumExp(logits, max)),
      rank: rankOf(logits, token, top),
    }
  }
}
