/** A range of rows and columns of a matrix, cut out of a stream of its values in row-major order. */
import { rangeLength, type Range } from './shard-plan.ts'
import type { SourceTensor } from './weights.ts'

export type TensorPart = {
  /** Columns of the whole matrix. */
  readonly width: number
  readonly rows: Range
  readonly columns: Range
}

/** A vector's elements are rows of one column. */
export const partOf = ({ shape, rows, columns }: SourceTensor): TensorPart => {
  const [height = 1, width = 1] = shape
  return {
    width,
    rows: rows ?? { begin: 0, end: height },
    columns: columns ?? { begin: 0, end: width },
  }
}

export const wholePart = (dims: readonly number[]): TensorPart => {
  const [height = 1, width = 1] = dims
  return { width, rows: { begin: 0, end: height }, columns: { begin: 0, end: width } }
}

/** How many elements of the part lie before `element` of the whole matrix. */
const elementsBefore = ({ width, rows, columns }: TensorPart, element: number): number => {
  const row = Math.floor(element / width)
  if (row < rows.begin) return 0
  if (row >= rows.end) return rangeLength(rows) * rangeLength(columns)
  const inRow = Math.min(Math.max(element - row * width - columns.begin, 0), rangeLength(columns))
  return (row - rows.begin) * rangeLength(columns) + inRow
}

/**
 * @param piece the matrix's values from its element `first` on
 * @returns those that are in the part, and where the first of them lies in it
 */
export const cut = (
  piece: Float32Array,
  first: number,
  part: TensorPart,
): { readonly values: Float32Array; readonly position: number } => {
  const { width, rows, columns } = part
  const position = elementsBefore(part, first)
  const numElements = elementsBefore(part, first + piece.length) - position
  if (rangeLength(columns) === width) {
    const begin = Math.max(0, rows.begin * width - first)
    return { values: piece.subarray(begin, begin + numElements), position }
  }
  const values = new Float32Array(numElements)
  let done = 0
  while (done < numElements) {
    const at = position + done
    const row = rows.begin + Math.floor(at / rangeLength(columns))
    const begin = row * width + columns.begin + (at % rangeLength(columns))
    const end = Math.min(row * width + columns.end, first + piece.length)
    values.set(piece.subarray(begin - first, end - first), done)
    done += end - begin
  }
  return { values, position }
}
