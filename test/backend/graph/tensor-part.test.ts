import { expect, test } from 'vitest'
import { cut, partOf } from '../../../backend/graph/tensor-part.ts'

/** 7 × 5, each value its own index. */
const matrix = Float32Array.from({ length: 35 }, (_, i) => i)

/** The part as it comes together from pieces of this length. */
const assemble = (part: ReturnType<typeof partOf>, length: number, pieceLength: number) => {
  const whole = new Float32Array(length).fill(-1)
  for (let first = 0; first < matrix.length; first += pieceLength) {
    const { values, position } = cut(matrix.subarray(first, first + pieceLength), first, part)
    whole.set(values, position)
  }
  return [...whole]
}

test.each([1, 2, 3, 4, 5, 6, 7, 11, 35])(
  'parts of a matrix come whole out of pieces of %i',
  (n) => {
    const rows = { begin: 2, end: 4 }
    const columns = { begin: 1, end: 4 }
    const shape = [7, 5]
    expect({
      whole: assemble(partOf({ name: '', shape }), 35, n),
      rows: assemble(partOf({ name: '', shape, rows }), 10, n),
      columns: assemble(partOf({ name: '', shape, columns }), 21, n).slice(0, 6),
      both: assemble(partOf({ name: '', shape, rows, columns }), 6, n),
      vector: assemble(partOf({ name: '', shape: [35], rows }), 2, n),
      nothing: assemble(partOf({ name: '', shape, rows: { begin: 7, end: 7 } }), 0, n),
    }).toEqual({
      whole: [...matrix],
      rows: [10, 11, 12, 13, 14, 15, 16, 17, 18, 19],
      columns: [1, 2, 3, 6, 7, 8],
      both: [11, 12, 13, 16, 17, 18],
      vector: [2, 3],
      nothing: [],
    })
  },
)
