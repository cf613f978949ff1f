/** What a weight file of any format offers: tensors by name, read as float32 by rows, in pieces. */
import { bytesOf, isWeightType, toFloat32, weightTypes } from './weight-type.ts'
import type { RangeFile } from './range-file.ts'

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
  /** Idempotent. */
  close(): Promise<void>
}

/** One piece as float32 is 4 MiB: large enough to read at the disk's speed. */
const valuesPerPiece = 1 << 20

/** What must be in memory at once, at most. A row of real models has some 30,000 values. */
const maxValuesAtOnce = 1 << 24

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

/** Puts the rows of a group into another order; both are whole rows of equal size. */
export type RowOrder = {
  /** Rows in a group; the tensor's rows are a multiple of it. */
  readonly groupRows: number
  /** Where in its group the row is stored that is row `row` to the reader. */
  readonly storedRow: (row: number) => number
}

/** Memory for one piece after the other: what is new is first filled with zeros. */
class Scratch {
  readonly #isReused: boolean
  #bytes = new Uint8Array(0)

  constructor(isReused: boolean) {
    this.#isReused = isReused
  }

  /** From the start of its buffer. */
  take(numBytes: number): Uint8Array<ArrayBuffer> {
    if (!this.#isReused || this.#bytes.length < numBytes) this.#bytes = new Uint8Array(numBytes)
    return this.#bytes.subarray(0, numBytes)
  }
}

const inOrder = (
  stored: Uint8Array,
  rowBytes: number,
  order: RowOrder,
  bytes: Uint8Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> => {
  for (let row = 0; row * rowBytes < bytes.length; row++) {
    const inGroup = row % order.groupRows
    const from = (row - inGroup + order.storedRow(inGroup)) * rowBytes
    bytes.set(stored.subarray(from, from + rowBytes), row * rowBytes)
  }
  return bytes
}

/** Whether all rows are asked for. @throws RangeError for rows that the tensor does not have */
export const isWhole = ({ shape }: TensorInfo, rows: RowRange | undefined): boolean =>
  rowsOf(shape, rows).numRows === rowsOf(shape, undefined).numRows

export type ReadOptions = {
  /** All of them when left out. */
  readonly rows?: RowRange | undefined
  /** Where rows are not stored in the order in which they are to come. */
  readonly order?: RowOrder | undefined
  /** Is shown the bytes as they are stored, piece by piece. */
  readonly see?: (bytes: Uint8Array) => void
}

const storedOrder: RowOrder = { groupRows: 1, storedRow: (row) => row }

/**
 * Reads rows of a tensor that lies in the file in row-major order without gaps.
 * @throws ModelFolderError, RangeError as {@link TensorFile.readFloat32}
 */
export async function* readRows(
  file: RangeFile,
  name: string,
  { dtype, shape, offset }: TensorInfo,
  { rows, order = storedOrder, see }: ReadOptions = {},
): AsyncGenerator<Float32Array, void> {
  const { firstRow, numRows } = rowsOf(shape, rows)
  if (!isWeightType(dtype)) {
    throw file.error(`tensor ${name} is ${dtype}; weights must be ${weightTypes.join(', ')}`)
  }
  const rowValues = countValues(shape.slice(1))
  const rowBytes = bytesOf(dtype, rowValues)
  if (rowBytes === null) throw file.error(`the rows of tensor ${name} are no whole ${dtype} blocks`)
  const { groupRows } = order
  if (rowValues * groupRows > maxValuesAtOnce) {
    throw file.error(`tensor ${name} has rows of ${rowValues} values, which no Llama has`)
  }
  const end = firstRow + numRows
  const pieceRows = Math.max(1, Math.floor(valuesPerPiece / (rowValues * groupRows))) * groupRows
  const isReordered = groupRows > 1
  const scratch = new Scratch(true)
  // F32 shares the memory that it is given with what is yielded.
  const final = new Scratch(dtype !== 'F32')
  // Whole groups are read, and what is before the first and after the last row is cut off.
  for (let row = firstRow - (firstRow % groupRows); row < end; row += pieceRows) {
    const height = Math.min(pieceRows, Math.ceil((end - row) / groupRows) * groupRows)
    const numBytes = height * rowBytes
    const space = isReordered ? scratch.take(numBytes) : final.take(numBytes)
    const stored = await file.read(offset + row * rowBytes, numBytes, space)
    see?.(stored)
    const bytes = isReordered ? inOrder(stored, rowBytes, order, final.take(numBytes)) : stored
    const values = toFloat32(dtype, bytes)
    yield values.subarray(Math.max(0, firstRow - row) * rowValues, (end - row) * rowValues)
  }
}
