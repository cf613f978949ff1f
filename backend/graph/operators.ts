/** The operators that the decoder's parts are made of, as nodes of its graph. */
import type { Initializer, Node } from '../onnx/model.ts'

/** ONNX Runtime's own operators. */
export const contrib = 'com.microsoft'

/** A constant vector, such as shapes and axes are. */
export const int64 = (name: string, ...values: readonly number[]): Initializer => {
  const data = new Uint8Array(BigInt64Array.from(values, BigInt).buffer)
  return { name, type: 'int64', dims: [values.length], data }
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
