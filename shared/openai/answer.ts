/** What the answers of both generation routes have in common. */
import type { AnswerLogprob } from './logprobs.ts'

export type FinishReason = 'stop' | 'length'

/** The same in the answer, or in all chunks of one stream. */
export type AnswerIdentity = {
  readonly id: string
  /** Unix time in seconds. */
  readonly created: number
  /** The served model name. */
  readonly model: string
}

/** One of the `n` answers to a request; its index is its place among them. */
export type Choice = {
  readonly text: string
  readonly finishReason: FinishReason
  /** null: not asked for. */
  readonly logprobs: readonly AnswerLogprob[] | null
}

/** What one chunk of a stream adds to one choice. */
export type ChoiceDelta = {
  readonly text: string
  /** null: not asked for, or none in this chunk. */
  readonly logprobs: readonly AnswerLogprob[] | null
}
