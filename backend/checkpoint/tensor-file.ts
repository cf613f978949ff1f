/** What a weight file of any format offers: tensors by name, read as float32 by rows, in pieces. */
import type { RangeFile } from './range-file.ts'
import { inReadersOrder, type TensorPlace } from './tensor-place.ts'
import { toFloat32 } from './weight-type.ts'

export type TensorInfo = {
  /** As the format calls it; only those of weight-type.ts can be read. */
  readonly dtype: string
  readonly shape: readonly number[]
  /** Of its first byte, from the start of the file. */
  readonly offset: number
}

/** Rows are what the first dimension counts: of a vector, its elements. */
export type RowRange = { readonly firstRow: number; readonly numRows: number }

export type TensorFile = {
  /** By the names of Hugging Face's Llama. */
  readonly tensors: ReadonlyMap<string, TensorInfo>
  /**
   * The tensor's values in row-major order, piece by piece; a piece is whole rows, of a few MiB.
   * @param rows all of them when left out
   * @throws ModelFolderError for a tensor that is not there or not of a type in weight-type.ts
   * @throws RangeError for rows that the tensor does not have
   */
  readFloat32(name: string, rows?: RowRange): AsyncGenerator<Float32Array, void>
  /**
   * Compares what the tensor was stored as with its checksum, in formats that have one: only PyTorch's. It
   * reads all of it, once for a file however often it is asked. Reading a tensor whole compares, too;
   * reading some of its rows cannot.
   * @throws ModelFolderError for a damaged tensor, or one that is not there
   */
  verify(name: string): Promise<void>
  /**
   * Where the tensor lies, for reading it elsewhere.
   * @throws ModelFolderError for a tensor that is not there or cannot be read
   */
  locate(name: string): TensorPlace
  /** Idempotent. */
  close(): Promise<void>
}

/** One piece as float32 is 4 MiB: large enough to read at the disk's speed. */
const valuesPerPiece = 1 << 20

export const countValues = (shape: readonly number[]): number =>
  shape.reduce((product, dim) => product * dim, 1)

const rowsOf = (shape: readonly number[], rows: RowRange | undefined): RowRange => {
  const height = shape[0] ?? 1
  const { firstRow, numRows } = rows ?? { firstRow: 0, numRows: height }
  const isWhole = Number.isSafeInteger(firstRow) && Number.isSafeInteger(numRows)
  if (isWhole && firstRow >= 0 && numRows >= 0 && firstRow + numRows <= height) {
    return { firstRow, numRows }
  }
  throw new RangeError(`there are no ${numRows} rows from ${firstRow} on: the tensor has ${height}`)
}

/** Whether all rows are asked for. @throws RangeError for rows that the tensor does not have */
export const isWhole = ({ shape }: TensorInfo, rows: RowRange | undefined): boolean =>
  rowsOf(shape, rows).numRows === rowsOf(shape, undefined).numRows

export type ReadOptions = {
  /** All of them when left out. */
  readonly rows?: RowRange | undefined
  /** Is shown the bytes as they are stored, piece by piece. */
  readonly see?: (bytes: Uint8Array) => void
}

/**
 * Reads rows of a tensor that lies in the file in row-major order without gaps.
 * @throws ModelFolderError, RangeError as {@link TensorFile.readFloat32}
 */
export async function* readRows(
  file: RangeFile,
  tensor: TensorPlace,
  { rows, see }: ReadOptions = {},
): AsyncGenerator<Float32Array, void> {
  const { type, shape, offset, rowValues, rowBytes, groupRows } = tensor
  const { firstRow, numRows } = rowsOf(shape, rows)
  const end = firstRow + numRows
  const pieceRows = Math.max(1, Math.floor(valuesPerPiece / (rowValues * groupRows))) * groupRows
  // Whole groups are read, and what is before the first and after the last row is cut off.
  for (let row = firstRow - (firstRow % groupRows); row < end; row += pieceRows) {
    const height = Math.min(pieceRows, Math.ceil((end - row) / groupRows) * groupRows)
    const stored = await file.read(offset + row * rowBytes, height * rowBytes)
    see?.(stored)
    const values = toFloat32(type, inReadersOrder(tensor, stored))
    yield values.subarray(Math.max(0, firstRow - row) * rowValues, (end - row) * rowValues)
  }
}
