/** The order in which the rows of a tensor are stored, where it is not that of Hugging Face. */

/** Puts the rows of a group into another order; both are whole rows of equal size. */
export type RowOrder = {
  /** Rows in a group; the tensor's rows are a multiple of it. */
  readonly groupRows: number
  /** Where in its group the row is stored that is row `row` to the reader. */
  readonly storedRow: (row: number) => number
}

/**
 * llama.cpp's converter interleaves the halves of each query and key head (`permute` of
 * convert_hf_to_gguf.py's LlamaModel), since it rotates neighbours against each other, and Hugging
 * Face's Llama the halves of a head.
 */
export const interleavedOrder = (headDim: number): RowOrder => {
  const half = headDim / 2
  return {
    groupRows: headDim,
    storedRow: (row) => (row < half ? 2 * row : 2 * (row - half) + 1),
  }
}
