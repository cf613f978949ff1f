/** What the graph does with weight matrices, as nodes, in whatever form they are stored. */
import { dataTypes } from '../onnx/data-type.ts'
import type { Initializer, Node } from '../onnx/model.ts'
import { contrib } from './operators.ts'
import {
  bitsOf,
  isQuantized,
  quantizationBlock,
  scalesName,
  type Encoding,
} from './weight-format.ts'
import type { Weight } from './weights.ts'

/** A weight matrix [rows, columns]. */
export type Matrix = {
  readonly name: string
  readonly encoding: Encoding
  readonly rows: number
  readonly columns: number
}

/** A rank's matrix by its name. */
export type Matrices = (name: string) => Matrix

export const matricesOf = (weights: readonly Weight[]): Matrices => {
  const byName = new Map(weights.map((weight) => [weight.name, weight]))
  return (name) => {
    const weight = byName.get(name)
    if (weight === undefined) throw new Error(`the model has no weight ${name}`)
    const [rows = 0, columns = 0] = weight.dims
    return { name, encoding: weight.encoding, rows, columns }
  }
}

/** A projection: its matrix [out, in], and the name of its bias [out] if it has one. */
export type Projection = { readonly matrix: Matrix; readonly bias: string | null }

/**
 * `y = x · Wᵀ + bias`, W as checkpoints store it. The bias is a node of its own: where W is split by
 * columns, it belongs after the sum of all parts.
 */
export const linear = (x: string, { matrix, bias }: Projection, y: string): Node[] => {
  if (bias === null) return multiply(x, matrix, y)
  const product = `${y}.product`
  return [
    ...multiply(x, matrix, product),
    { operator: 'Add', inputs: [product, bias], outputs: [y] },
  ]
}

/**
 * Quantised, x is rounded to 8 bits as well, each block of a row by itself (accuracy level 4): with
 * weights of 4 bits five times as fast as otherwise. Plain, FusedMatMul packs W when the session loads and
 * is then as quick as MatMul on [in, out], at one row and at many.
 */
const multiply = (x: string, { name, encoding, rows, columns }: Matrix, y: string): Node[] => {
  if (isQuantized(encoding)) {
    const product: Node = {
      operator: 'MatMulNBits',
      domain: contrib,
      inputs: [x, name, scalesName(name)],
      outputs: [y],
      attributes: {
        N: { int: rows },
        K: { int: columns },
        bits: { int: bitsOf[encoding] },
        block_size: { int: quantizationBlock },
        accuracy_level: { int: 4 },
      },
    }
    return [product]
  }
  const widened = encoding === 'float32' ? name : `${name}.float32`
  const product: Node = {
    operator: 'FusedMatMul',
    domain: contrib,
    inputs: [x, widened],
    outputs: [y],
    attributes: { transB: { int: 1 } },
  }
  // ONNX Runtime does this once, when it loads the model.
  return widened === name ? [product] : [toFloat32(name, widened), product]
}

const toFloat32 = (x: string, y: string): Node => ({
  operator: 'Cast',
  inputs: [x],
  outputs: [y],
  attributes: { to: { int: dataTypes.float32.number } },
})

/** `y`: the rows of the matrix that `indices` names. Needs {@link lookUpTable}. */
export const lookUp = ({ name, encoding }: Matrix, indices: string, y: string): Node[] => {
  if (isQuantized(encoding)) {
    const gather: Node = {
      operator: 'GatherBlockQuantized',
      domain: contrib,
      inputs: [tableName(name), indices, scalesName(name)],
      outputs: [y],
      attributes: {
        bits: { int: bitsOf[encoding] },
        block_size: { int: quantizationBlock },
        gather_axis: { int: 0 },
        quantize_axis: { int: 1 },
      },
    }
    return [gather]
  }
  const stored = encoding === 'float32' ? y : `${y}.stored`
  const gather: Node = { operator: 'Gather', inputs: [name, indices], outputs: [stored] }
  return stored === y ? [gather] : [gather, toFloat32(stored, y)]
}

const tableName = (matrix: string): string => `${matrix}_rows`

/** The same bytes as a quantised matrix has, with a row's blocks joined, as {@link lookUp} reads them. */
export const lookUpTable = (codes: Initializer): Initializer => {
  const [rows = 0, ...row] = codes.dims
  const rowBytes = row.reduce((product, dim) => product * dim, 1)
  return { ...codes, name: tableName(codes.name), dims: [rows, rowBytes] }
}
