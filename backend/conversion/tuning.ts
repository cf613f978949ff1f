/** Sizes that a conversion's speed and memory depend on, and its result does not. */
export type Tuning = {
  /**
   * 32 MiB of 16-bit weights: small enough to spread over cores and to lose little when a conversion is
   * killed, large enough for few checksums. Less than that is in memory, see piece-writer.ts.
   */
  readonly valuesPerPiece: number
  /** Between two entries in the journal: what a killed conversion does anew. Each waits for the disk. */
  readonly journalIntervalMs: number
  /** Below it, starting threads takes longer than the work. */
  readonly minThreadedBytes: number
}

export const defaultTuning: Tuning = {
  valuesPerPiece: 1 << 24,
  journalIntervalMs: 5000,
  minThreadedBytes: 64 << 20,
}
