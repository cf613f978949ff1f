/** A part of a matrix, cut out of some of its rows. */
import { rangeLength, type Range } from '../graph/shard-plan.ts'

export type Rows = {
  /** In row-major order. */
  readonly bytes: Uint8Array<ArrayBuffer>
  /** Of all rows of the matrix. */
  readonly firstRow: number
  readonly numRows: number
  /** Of a whole row. */
  readonly width: number
  readonly elementBytes: number
}

/** @returns the part's rows that are there, in memory of their own where columns are cut; null: none */
export const cutRows = (
  { bytes, firstRow, numRows, width, elementBytes }: Rows,
  part: { readonly rows: Range; readonly columns: Range },
): { readonly bytes: Uint8Array<ArrayBuffer>; readonly firstRow: number } | null => {
  const begin = Math.max(firstRow, part.rows.begin)
  const end = Math.min(firstRow + numRows, part.rows.end)
  if (begin >= end) return null
  const rowBytes = width * elementBytes
  const from = (begin - firstRow) * rowBytes
  const partBytes = rangeLength(part.columns) * elementBytes
  if (partBytes === rowBytes) {
    return { bytes: bytes.subarray(from, from + (end - begin) * rowBytes), firstRow: begin }
  }
  const cut = new Uint8Array((end - begin) * partBytes)
  for (let row = 0; row < end - begin; row++) {
    const start = from + row * rowBytes + part.columns.begin * elementBytes
    cut.set(bytes.subarray(start, start + partBytes), row * partBytes)
  }
  return { bytes: cut, firstRow: begin }
}
