/** A tensor as it lies in its file, told by plain data: any thread can read rows of it. */
import { readSync } from 'node:fs'
import { ModelFolderError } from '../model-folder-error.ts'
import { interleavedOrder, type RowOrder } from './row-order.ts'
import type { RowRange, TensorInfo } from './tensor-file.ts'
import { bytesOf, isWeightType, weightTypes, type WeightType } from './weight-type.ts'

export type TensorPlace = {
  readonly path: string
  readonly name: string
  readonly type: WeightType
  readonly shape: readonly number[]
  /** Of its first byte, from the start of the file. */
  readonly offset: number
  /** Values of a row; rows are what the first dimension counts. */
  readonly rowValues: number
  readonly rowBytes: number
  /** Rows are read in whole groups of so many; above 1 they are stored as `interleavedOrder` says. */
  readonly groupRows: number
  /** Of all its bytes, in formats that have one. */
  readonly crc32?: number
}

/** What must be in memory at once, at most. A row of real models has some 30,000 values. */
const maxValuesAtOnce = 1 << 24

/** @throws ModelFolderError for a tensor that cannot be read by rows */
export const tensorPlace = (
  path: string,
  name: string,
  { dtype, shape, offset }: TensorInfo,
  groupRows = 1,
): TensorPlace => {
  const error = (message: string): ModelFolderError => new ModelFolderError(path, message)
  if (!isWeightType(dtype)) {
    throw error(`tensor ${name} is ${dtype}; weights must be ${weightTypes.join(', ')}`)
  }
  const rowValues = shape.slice(1).reduce((product, dim) => product * dim, 1)
  const rowBytes = bytesOf(dtype, rowValues)
  if (rowBytes === null) throw error(`the rows of tensor ${name} are no whole ${dtype} blocks`)
  if (rowValues * groupRows > maxValuesAtOnce) {
    throw error(`tensor ${name} has rows of ${rowValues} values, which no Llama has`)
  }
  if ((shape[0] ?? 0) % groupRows !== 0) {
    throw error(`tensor ${name} has ${shape[0]} rows, no whole heads`)
  }
  return { path, name, type: dtype, shape, offset, rowValues, rowBytes, groupRows }
}

/** The rows in the reader's order. */
export const inReadersOrder = (
  { groupRows, rowBytes }: TensorPlace,
  stored: Uint8Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> =>
  groupRows === 1 ? stored : reorder(stored, rowBytes, interleavedOrder(groupRows))

const reorder = (
  stored: Uint8Array,
  rowBytes: number,
  order: RowOrder,
): Uint8Array<ArrayBuffer> => {
  const bytes = new Uint8Array(stored.length)
  for (let row = 0; row * rowBytes < bytes.length; row++) {
    const inGroup = row % order.groupRows
    const from = (row - inGroup + order.storedRow(inGroup)) * rowBytes
    bytes.set(stored.subarray(from, from + rowBytes), row * rowBytes)
  }
  return bytes
}

/**
 * Reads rows, blocking the thread.
 * @param rows whole groups
 * @param scratch a buffer from its start, large enough for the rows; the result may lie in it
 * @returns the rows as they are stored, in the reader's order
 * @throws ModelFolderError
 */
export const readPlacedRows = (
  file: number,
  tensor: TensorPlace,
  { firstRow, numRows }: RowRange,
  scratch: Uint8Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> => {
  const { path, offset, rowBytes } = tensor
  const bytes = scratch.subarray(0, numRows * rowBytes)
  const position = offset + firstRow * rowBytes
  try {
    for (let done = 0; done < bytes.length;) {
      const bytesRead = readSync(file, bytes, done, bytes.length - done, position + done)
      if (bytesRead === 0) throw new Error('it became shorter while it was read')
      done += bytesRead
    }
  } catch (cause) {
    throw new ModelFolderError(path, cause)
  }
  return inReadersOrder(tensor, bytes)
}
