/** Penalties for tokens that a sequence has already. */

export type Penalties = {
  /** 1: off. Over prompt and output, as Hugging Face (Keskar et al. 2019, CTRL) and vLLM. */
  readonly repetitionPenalty: number
  /** 0: off. Over the output only, as OpenAI and vLLM; times the number of occurrences. */
  readonly frequencyPenalty: number
  /** 0: off. Over the output only, once for a token that occurs at all. */
  readonly presencePenalty: number
}

export const hasPenalties = (penalties: Penalties): boolean =>
  penalties.repetitionPenalty !== 1 ||
  penalties.frequencyPenalty !== 0 ||
  penalties.presencePenalty !== 0

/** The distinct tokens of one sequence and how often each occurs in its output. */
export class TokenCounts {
  readonly #indices = new Map<number, number>()
  readonly #tokens: number[] = []
  readonly #counts: number[] = []

  constructor(promptTokens: readonly number[]) {
    for (const token of promptTokens) this.#add(token, 0)
  }

  /** Of the prompt and the output. */
  get tokens(): readonly number[] {
    return this.#tokens
  }

  /** Occurrences in the output, in the order of `tokens`. */
  get counts(): readonly number[] {
    return this.#counts
  }

  /** Counts one more token of the output. */
  add(token: number): void {
    this.#add(token, 1)
  }

  #add(token: number, count: number): void {
    const index = this.#indices.get(token)
    if (index !== undefined) {
      this.#counts[index]! += count
      return
    }
    this.#indices.set(token, this.#tokens.length)
    this.#tokens.push(token)
    this.#counts.push(count)
  }
}

/** Changes the logits of the tokens counted: repetition first, then frequency and presence. */
export const applyPenalties = (
  logits: Float32Array,
  { tokens, counts }: TokenCounts,
  { repetitionPenalty, frequencyPenalty, presencePenalty }: Penalties,
): void => {
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]!
    const count = counts[i]!
    const logit = logits[token]!
    const repeated = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty
    logits[token] = repeated - frequencyPenalty * count - (count > 0 ? presencePenalty : 0)
  }
}
