/** The operators that the decoder's parts are made of, as nodes of its graph. */
import type { Node } from '../onnx/model.ts'

/** ONNX Runtime's own operators. */
export const contrib = 'com.microsoft'

/** The names of a projection's weights: a matrix [out, in] and, if it has one, a bias [out]. */
export type LinearWeights = { readonly matrix: string; readonly bias: string | null }

/** A projection of the layer: its matrix has this name, its bias this and `_bias`. */
export const linearWeights = (name: string, hasBias: boolean): LinearWeights => ({
  matrix: name,
  bias: hasBias ? `${name}_bias` : null,
})

/**
 * `y = x · Wᵀ + bias` for W [out, in], as checkpoints store it. FusedMatMul packs it when the session
 * loads and is then as quick as MatMul on [in, out], at one row and at many. The bias is a node of
 * its own: where W is split by columns, it belongs after the sum of all parts.
 */
export const linear = (x: string, { matrix, bias }: LinearWeights, y: string): Node[] => {
  const product = bias === null ? y : `${y}.product`
  const multiply: Node = {
    operator: 'FusedMatMul',
    domain: contrib,
    inputs: [x, matrix],
    outputs: [product],
    attributes: { transB: { int: 1 } },
  }
  if (bias === null) return [multiply]
  return [multiply, { operator: 'Add', inputs: [product, bias], outputs: [y] }]
}

/** The RMS norm over the last dimension. */
export const norm = (x: string, scale: string, y: string, epsilon: number): Node => ({
  operator: 'SimplifiedLayerNormalization',
  inputs: [x, scale],
  outputs: [y],
  attributes: { axis: { int: -1 }, epsilon: { float: epsilon } },
})

/** `sum = a + b`, `y = norm(sum)`. */
export const addAndNorm = (
  [a, b]: readonly [string, string],
  scale: string,
  { sum, y }: { readonly sum: string; readonly y: string },
  epsilon: number,
): Node => ({
  operator: 'SkipSimplifiedLayerNormalization',
  domain: contrib,
  inputs: [a, b, scale],
  outputs: [y, '', '', sum],
  attributes: { epsilon: { float: epsilon } },
})
