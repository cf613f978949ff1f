/** What the answers of both generation routes have in common. */

export type FinishReason = 'stop' | 'length'

/** The same in the answer, or in all chunks of one stream. */
export type AnswerIdentity = {
  readonly id: string
  /** Unix time in seconds. */
  readonly created: number
  /** The served model name. */
  readonly model: string
}
