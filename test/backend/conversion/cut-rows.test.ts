import { expect, test } from 'vitest'
import { cutRows } from '../../../backend/conversion/cut-rows.ts'

/** A matrix of 6 rows and 5 columns of 2 bytes, each of which is its row and its column. */
const element = (row: number, column: number): number[] => [row, column]
const rowsFrom = (firstRow: number, numRows: number) => ({
  bytes: Uint8Array.from(
    Array.from({ length: numRows }, (_, row) =>
      Array.from({ length: 5 }, (_, column) => element(firstRow + row, column)).flat(),
    ).flat(),
  ),
  firstRow,
  numRows,
  width: 5,
  elementBytes: 2,
})

const expected = (rows: readonly number[], columns: readonly number[]): number[] =>
  rows.flatMap((row) => columns.flatMap((column) => element(row, column)))

test.each([
  [{ begin: 0, end: 6 }, { begin: 0, end: 5 }, 2, [2, 3, 4], [0, 1, 2, 3, 4]],
  [{ begin: 3, end: 6 }, { begin: 0, end: 5 }, 3, [3, 4], [0, 1, 2, 3, 4]],
  [{ begin: 0, end: 3 }, { begin: 1, end: 3 }, 2, [2], [1, 2]],
  [{ begin: 3, end: 4 }, { begin: 4, end: 5 }, 3, [3], [4]],
])('rows %j and columns %j of rows 2 to 4', (rows, columns, firstRow, rowsThere, columnsThere) => {
  const cut = cutRows(rowsFrom(2, 3), { rows, columns })
  expect(cut?.firstRow).toBe(firstRow)
  expect([...(cut?.bytes ?? [])]).toEqual(expected(rowsThere, columnsThere))
})

test('rows that are not there', () => {
  const columns = { begin: 0, end: 5 }
  expect(cutRows(rowsFrom(2, 3), { rows: { begin: 0, end: 2 }, columns })).toBeNull()
  expect(cutRows(rowsFrom(2, 3), { rows: { begin: 5, end: 6 }, columns })).toBeNull()
})
