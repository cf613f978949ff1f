/**
 * The work of a conversion, cut into pieces that can be done in any order by any thread: some rows of one
 * tensor of the checkpoint, with every place that they go to. So each row is read once, however many ranks
 * there are.
 */
import type { Checkpoint } from '../checkpoint/checkpoint.ts'
import type { TensorPlace } from '../checkpoint/tensor-place.ts'
import type { RotaryTable } from '../graph/rotary.ts'
import { rangeLength, type Range } from '../graph/shard-plan.ts'
import type { Encoding } from '../graph/weight-format.ts'
import type { PlacedWeight } from '../graph/weights-file.ts'

/** Bytes in a file of weights that rows go to one after the other. */
export type RowPlace = {
  /** Of the first row of the target. */
  readonly offset: number
  readonly rowBytes: number
}

/** A part of a tensor that goes into one weight of one rank. */
export type Target = {
  /** Counts the files of weights. */
  readonly file: number
  readonly encoding: Encoding
  /** Of the tensor. */
  readonly rows: Range
  readonly columns: Range
  /** Of the values or, where they are quantised, of codes and scales. */
  readonly places: readonly RowPlace[]
}

export type Piece = {
  /** A tensor of the checkpoint, or what is computed. */
  readonly source: TensorPlace | RotaryTable
  readonly rows: Range
  readonly targets: readonly Target[]
}

const placesFrom = ({ tensors, dims }: PlacedWeight, firstRow: number): RowPlace[] =>
  tensors.map(({ offset, numBytes }) => {
    const rowBytes = numBytes / (dims[0] ?? 1)
    return { offset: offset + firstRow * rowBytes, rowBytes }
  })

type Sources = {
  readonly tables: Map<RotaryTable, Target[]>
  readonly tensors: Map<string, { readonly shape: readonly number[]; readonly targets: Target[] }>
}

const addWeight = ({ tables, tensors }: Sources, file: number, weight: PlacedWeight): void => {
  const { source, dims, encoding } = weight
  if (typeof source === 'string') {
    const [height = 1, width = 1] = dims
    const rows = { begin: 0, end: height }
    const columns = { begin: 0, end: width }
    const target = { file, encoding, rows, columns, places: placesFrom(weight, 0) }
    tables.set(source, [...(tables.get(source) ?? []), target])
    return
  }
  let firstRow = 0
  for (const { name, shape, ...part } of source) {
    const [height = 1, width = 1] = shape
    const rows = part.rows ?? { begin: 0, end: height }
    const columns = part.columns ?? { begin: 0, end: width }
    const known = tensors.get(name) ?? { shape, targets: [] }
    tensors.set(name, known)
    known.targets.push({ file, encoding, rows, columns, places: placesFrom(weight, firstRow) })
    firstRow += rangeLength(rows)
  }
}

const overlaps = (a: Range, b: Range): boolean => a.begin < b.end && b.begin < a.end

const cutTensor = (source: TensorPlace, targets: readonly Target[], maxValues: number): Piece[] => {
  const { shape, rowValues, groupRows } = source
  const height = shape[0] ?? 1
  const pieceRows = Math.max(1, Math.floor(maxValues / (rowValues * groupRows))) * groupRows
  const count = Math.ceil(height / pieceRows)
  return Array.from({ length: count }, (_, index) => {
    const rows = { begin: index * pieceRows, end: Math.min(height, (index + 1) * pieceRows) }
    return { source, rows, targets: targets.filter((target) => overlaps(target.rows, rows)) }
  })
}

/**
 * @param ranks the weights of each rank, by the number of its file
 * @param maxValues of a piece, if a row has not more
 * @returns pieces in the order in which they lie in the checkpoint, the same ones for the same model
 * @throws ModelFolderError for a tensor that is missing, has another shape or cannot be read
 */
export const planPieces = (
  ranks: readonly (readonly PlacedWeight[])[],
  checkpoint: Checkpoint,
  maxValues: number,
): Piece[] => {
  const sources: Sources = { tables: new Map(), tensors: new Map() }
  for (const [file, weights] of ranks.entries()) {
    for (const weight of weights) addWeight(sources, file, weight)
  }
  const tensors = [...sources.tensors].map(([name, { shape, targets }]) => {
    checkpoint.requireTensor(name, shape)
    return { place: checkpoint.locate(name), targets }
  })
  // By code units: a locale's order may be another in the next process, and pieces are known by number.
  const inFileOrder = tensors.toSorted(({ place: a }, { place: b }) =>
    a.path === b.path ? a.offset - b.offset : a.path < b.path ? -1 : 1,
  )
  return [
    ...[...sources.tables].map(([source, targets]) => {
      const end = Math.max(...targets.map(({ rows }) => rows.end))
      return { source, rows: { begin: 0, end }, targets }
    }),
    ...inFileOrder.flatMap(({ place, targets }) => cutTensor(place, targets, maxValues)),
  ]
}

/** What a piece adds to the files. */
export const pieceBytes = ({ rows, targets }: Piece): number =>
  targets.reduce((sum, target) => {
    const begin = Math.max(rows.begin, target.rows.begin)
    const numRows = Math.min(rows.end, target.rows.end) - begin
    return sum + target.places.reduce((bytes, { rowBytes }) => bytes + numRows * rowBytes, 0)
  }, 0)
