/** What scheduler and cache manager know of a sequence: integers, and a salt to compare. */
export type ScheduledSequence = {
  /** Prompt and answer so far. It grows at its end only. */
  readonly tokens: readonly number[]
  /** Tokens whose keys and values are in the sequence's slot. */
  cachedTokens: number
  /** So many of its first tokens may come from the cache: of the others the logits are wanted. */
  readonly reusableTokens: number
  /** Lower is earlier. */
  readonly priority: number
  /** Sequences of different salts never share what is in the cache. */
  readonly cacheSalt: string
}

/** Tokens that have to be computed before the next new token. */
export const tokensLeft = ({ tokens, cachedTokens }: ScheduledSequence): number =>
  tokens.length - cachedTokens
