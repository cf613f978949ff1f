/** The checkpoints of test/fixtures/checkpoints, and reading them whole. */
import { closeSync, openSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { RowRange, TensorFile } from '../../backend/checkpoint/tensor-file.ts'
import { readPlacedRows } from '../../backend/checkpoint/tensor-place.ts'
import { toFloat32 } from '../../backend/checkpoint/weight-type.ts'

export const checkpointFixture = (name: string): string =>
  fileURLToPath(new URL(`../fixtures/checkpoints/${name}`, import.meta.url))

export const readTensor = async (
  file: Pick<TensorFile, 'readFloat32'>,
  name: string,
  rows?: RowRange,
): Promise<number[]> => {
  const values: number[] = []
  for await (const piece of file.readFloat32(name, rows)) values.push(...piece)
  return values
}

/** Reads a tensor where it lies, as a conversion does: whole groups of rows, of which the others are cut off. */
export const readPlacedTensor = (
  file: Pick<TensorFile, 'locate'>,
  name: string,
  rows?: RowRange,
): number[] => {
  const place = file.locate(name)
  const { firstRow, numRows } = rows ?? { firstRow: 0, numRows: place.shape[0] ?? 1 }
  const { groupRows, rowBytes, rowValues, type } = place
  const begin = firstRow - (firstRow % groupRows)
  const end = Math.ceil((firstRow + numRows) / groupRows) * groupRows
  const scratch = new Uint8Array((end - begin) * rowBytes)
  const descriptor = openSync(place.path, 'r')
  try {
    const groups = { firstRow: begin, numRows: end - begin }
    const values = toFloat32(type, readPlacedRows(descriptor, place, groups, scratch))
    const skipped = (firstRow - begin) * rowValues
    return [...values.subarray(skipped, skipped + numRows * rowValues)]
  } finally {
    closeSync(descriptor)
  }
}
