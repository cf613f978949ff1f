/** How long an answer may leave its client waiting, and the client its answer. */
export type AnswerTiming = {
  /** A streamed answer's head leaves at the latest after this, whatever the backend does. */
  readonly headMs: number
  /** After so much silence an event stream carries a comment: only who is written to is seen to be gone. */
  readonly keepAliveMs: number
  /** A client that takes nothing for so long holds a place in the engine's batch in vain. */
  readonly stallMs: number
}

export const defaultAnswerTiming: AnswerTiming = {
  headMs: 5_000,
  keepAliveMs: 15_000,
  stallMs: 60_000,
}
