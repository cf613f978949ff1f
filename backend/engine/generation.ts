/** What the engine is asked for and what it answers with: plain data that crosses the thread border. */
import type { FinishReason } from '../../shared/openai/answer.ts'
import type { Penalties } from './penalties.ts'
import type { SchedulerStats } from './scheduler.ts'

export type SamplingParams = Penalties & {
  /** 0: greedy. */
  readonly temperature: number
  readonly topP: number
  /** 0: off. */
  readonly topK: number
  /** The least probability a token may have, as a share of the likeliest one's. 0: off. */
  readonly minP: number
  /** What is added to the logits of some tokens: ids of the model, each once. */
  readonly logitBias: readonly (readonly [token: number, bias: number])[]
  /** Same seed, same prompt, same parameters: same text, whoever else is in the batch. */
  readonly seed: number
}

export type GenerationRequest = {
  readonly id: string
  readonly promptTokens: readonly number[]
  /** 0: the prompt is computed, and nothing is sampled. */
  readonly maxTokens: number
  /** No end before so many tokens, by a token or by a stop string; at most `maxTokens`. */
  readonly minTokens: number
  readonly stop: readonly string[]
  /** Tokens that end the generation like the end-of-sequence token; ids of the model. */
  readonly stopTokenIds: readonly number[]
  /** Whether the text keeps the stop string, or the text of the stop token, that ended it. */
  readonly includeStop: boolean
  readonly ignoreEos: boolean
  readonly sampling: SamplingParams
  /** So many of the likeliest tokens are told with each token's log-probability; null: none is. */
  readonly logprobs: number | null
  /** The same for each token of the prompt but the first, of which the model says nothing. */
  readonly promptLogprobs: number | null
  /** Lower is earlier; a request may take the slot of one of a higher number. */
  readonly priority: number
  /** Requests of the same salt share what the cache has of the same beginning; others never do. */
  readonly cacheSalt: string
}

export type Logprob = {
  readonly token: number
  /** Natural logarithm; −∞ for a token that the model holds impossible. */
  readonly logprob: number
}

/** A sampled token's log-probability, and those of the likeliest tokens in its place. */
export type TokenLogprob = Logprob & { readonly top: readonly Logprob[] }

export type PromptLogprob = TokenLogprob & {
  /** The token's place among the vocabulary, 1 for the likeliest. */
  readonly rank: number
}

/** How a generation ended: OpenAI's reasons, or the client left, or the engine failed. */
export type GenerationEnd = FinishReason | 'abort' | 'error'

/** News of one generation after one step. The last one, and only that, has `end`. */
export type GenerationEvent = {
  readonly id: string
  /** New text; may be empty while a character or a possible stop string is incomplete. */
  readonly text: string
  /** Tokens sampled for this request so far. */
  readonly completionTokens: number
  /** Of the token sampled in this step; only for requests with `logprobs`. */
  readonly logprob?: TokenLogprob
  /** Of the prompt's next tokens, from its second on; only for requests with `promptLogprobs`. */
  readonly promptLogprobs?: readonly PromptLogprob[]
  readonly end?: GenerationEnd
  /** For the operator: why this request alone ended with `error`. */
  readonly reason?: string
}

/** What the engine's thread counts. */
export type ThreadStats = SchedulerStats & {
  /** Tokens sampled since the start. */
  readonly generatedTokens: number
  /** Tokens computed for prompts since the start, and again for preempted sequences. */
  readonly prefilledTokens: number
}

export type EngineStats = ThreadStats & {
  /** Of all its requests: prompts not yet computed, and what answers are expected to take still. */
  readonly tokensInFlight: number
  /** The part of the KV cache that no running sequence has, 0 to 1. */
  readonly kvCacheFree: number
}

/** Of an engine that has done nothing yet. */
export const noStats: EngineStats = {
  running: 0,
  waiting: 0,
  prefixCacheQueries: 0,
  prefixCacheHits: 0,
  preemptions: 0,
  generatedTokens: 0,
  prefilledTokens: 0,
  tokensInFlight: 0,
  kvCacheFree: 1,
}
