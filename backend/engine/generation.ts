/** What the engine is asked for and what it answers with: plain data that crosses the thread border. */
import type { FinishReason } from '../../shared/openai/answer.ts'
import type { SchedulerStats } from './scheduler.ts'

export type SamplingParams = {
  /** 0: greedy. */
  readonly temperature: number
  readonly topP: number
  /** 0: off. */
  readonly topK: number
  /** Same seed, same prompt, same parameters: same text, whoever else is in the batch. */
  readonly seed: number
}

export type GenerationRequest = {
  readonly id: string
  readonly promptTokens: readonly number[]
  readonly maxTokens: number
  readonly stop: readonly string[]
  readonly ignoreEos: boolean
  readonly sampling: SamplingParams
  /** Lower is earlier; a request may take the slot of one of a higher number. */
  readonly priority: number
  /** Requests of the same salt share what the cache has of the same beginning; others never do. */
  readonly cacheSalt: string
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
  readonly end?: GenerationEnd
}

export type EngineStats = SchedulerStats & {
  /** Tokens sampled since the start. */
  readonly generatedTokens: number
  /** Tokens computed for prompts since the start, and again for preempted sequences. */
  readonly prefilledTokens: number
}
