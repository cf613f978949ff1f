/**
 * Cuts a step into micro-batches, so that a stage of the pipeline computes one while the stage after it
 * computes the one before. Pure numbers.
 */

/** Rows of the KV cache with as many new tokens each. */
export type MicroBatch = {
  readonly firstSlot: number
  readonly numRows: number
  /** New tokens of each row. */
  readonly numTokens: number
  /** Among the step's tokens, the first of this micro-batch. */
  readonly firstToken: number
  /** Among the step's sequence lengths, the first of this micro-batch. */
  readonly firstLength: number
  /** So many of each row's last tokens have their logits wanted; 0: none. */
  readonly logitsPerRow: number
  /** Among the step's rows of logits, the first of this micro-batch. */
  readonly firstLogits: number
}

/**
 * Smaller ones cost nearly as much as these, since they read the same weights: measured with one thread
 * in float32, 8 rows take 0.65 of the time of 16, and 32 tokens of a prompt 0.55 of that of 64.
 */
const minRows = 8
const minPieceTokens = 32

/** Pieces for each stage: with more of them, less of the time goes to filling and emptying the pipeline. */
const piecesPerStage = 4

/** `total` in `count` parts that differ by one at most, the larger first. */
const parts = (total: number, count: number): number[] =>
  Array.from({ length: count }, (_, index) => Math.floor((total + count - 1 - index) / count))

/**
 * A prompt's tokens in pieces, one after the other in the same slot.
 * @param numLogits so many of the last tokens have their logits wanted
 */
export const prefillMicroBatches = (
  slot: number,
  numTokens: number,
  numStages: number,
  numLogits: number,
): MicroBatch[] => {
  const most = numStages === 1 ? 1 : numStages * piecesPerStage
  const count = Math.max(1, Math.min(most, Math.floor(numTokens / minPieceTokens)))
  const firstWanted = numTokens - numLogits
  let firstToken = 0
  return parts(numTokens, count).map((length, index) => {
    const sizes = { numRows: 1, numTokens: length, firstToken, firstLength: index }
    const firstLogits = Math.max(0, firstToken - firstWanted)
    firstToken += length
    const logitsPerRow = Math.max(0, Math.min(length, firstToken - firstWanted))
    return { firstSlot: slot, ...sizes, logitsPerRow, firstLogits }
  })
}

/** The rows of a decode step, in as many micro-batches as there are stages if there are enough rows. */
export const decodeMicroBatches = (
  firstSlot: number,
  numRows: number,
  numStages: number,
): MicroBatch[] => {
  let first = 0
  const count = Math.max(1, Math.min(numStages, Math.floor(numRows / minRows)))
  return parts(numRows, count).map((length) => {
    const sizes = { numRows: length, numTokens: 1, logitsPerRow: 1 }
    const places = { firstToken: first, firstLength: first, firstLogits: first }
    first += length
    return { firstSlot: firstSlot + places.firstToken, ...sizes, ...places }
  })
}

/** The rows from `firstSlot` on as one micro-batch, which leaves the places of all other slots alone. */
export const decodeGroup = (firstSlot: number, numRows: number): MicroBatch => ({
  firstSlot,
  numRows,
  numTokens: 1,
  firstToken: firstSlot,
  firstLength: firstSlot,
  logitsPerRow: 1,
  firstLogits: firstSlot,
})

/** Micro-batches that any step has at most. */
export const maxMicroBatches = (slots: number, numStages: number): number =>
  Math.max(slots, numStages * piecesPerStage)
