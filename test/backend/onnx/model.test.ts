import { afterAll, expect, test } from 'vitest'
import { encodeModel, type Graph, type Node } from '../../../backend/onnx/model.ts'
import { Environment } from '../../../backend/onnxruntime/environment.ts'
import { Session } from '../../../backend/onnxruntime/session.ts'
import { Tensor } from '../../../backend/onnxruntime/tensor.ts'
import { ModelFolder } from '../onnxruntime/small-models.ts'

const environment = new Environment()
const folder = new ModelFolder()
afterAll(() => {
  environment.close()
  folder[Symbol.dispose]()
})

const bytesOf = (values: Float32Array | BigInt64Array): Uint8Array => new Uint8Array(values.buffer)

/** Runs a graph from float32 `x` to float32 `y`. */
const run = (graph: Graph, x: Float32Array, xDims: number[], yDims: number[]): number[] => {
  const y = new Float32Array(yDims.reduce((product, dim) => product * dim, 1))
  const session = new Session(environment, folder.write(graph))
  const input = new Tensor(environment, x, xDims)
  session.bind({ x: input }, { y: new Tensor(environment, y, yDims) }).run()
  session.close()
  return [...y]
}

const graphOf = (
  nodes: readonly Node[],
  initializers: Graph['initializers'] = [],
  dims: readonly (number | string)[] = ['rows', 2],
): Graph => ({
  name: 'graph',
  nodes,
  initializers,
  inputs: [{ name: 'x', type: 'float32', dims }],
  outputs: [{ name: 'y', type: 'float32', dims: ['rows', 'columns'] }],
})

test('weights inside the model and in a file beside it are the same to ONNX Runtime', () => {
  const weights = Float32Array.of(1, 2, 3, 4, 5, 6)
  folder.writeBytes('weights.bin', new Uint8Array([9, 9, 9, 9, ...bytesOf(weights)]))
  const matMul: Node = { operator: 'MatMul', inputs: ['x', 'w'], outputs: ['y'] }
  const external = { location: 'weights.bin', offset: 4, numBytes: 24 }
  const results = [bytesOf(weights), external].map((data) => {
    const graph = graphOf([matMul], [{ name: 'w', type: 'float32', dims: [2, 3], data }])
    // One model serves any number of rows.
    return [1, 2].map((rows) =>
      run(graph, new Float32Array(2 * rows).fill(1), [rows, 2], [rows, 3]),
    )
  })
  const row = [5, 7, 9]
  expect(results).toEqual([
    [row, [...row, ...row]],
    [row, [...row, ...row]],
  ])
})

test('attributes of every kind arrive', () => {
  const nodes: Node[] = [
    // ints
    {
      operator: 'Transpose',
      inputs: ['x'],
      outputs: ['t'],
      attributes: { perm: { ints: [1, 0] } },
    },
    // float
    { operator: 'LeakyRelu', inputs: ['t'], outputs: ['l'], attributes: { alpha: { float: 0.5 } } },
    { operator: 'Reshape', inputs: ['l', 'four'], outputs: ['l4'] },
    // string
    {
      operator: 'DepthToSpace',
      inputs: ['l4'],
      outputs: ['d'],
      attributes: { blocksize: { int: 1 }, mode: { string: 'CRD' } },
    },
    { operator: 'Reshape', inputs: ['d', 'two'], outputs: ['r'] },
    // int
    { operator: 'Softmax', inputs: ['r'], outputs: ['s'], attributes: { axis: { int: 0 } } },
    { operator: 'Add', inputs: ['r', 's'], outputs: ['y'] },
  ]
  const shape = (name: string, dims: bigint[]) => ({
    name,
    type: 'int64' as const,
    dims: [dims.length],
    data: bytesOf(BigInt64Array.from(dims)),
  })
  const graph = graphOf(nodes, [shape('four', [1n, 1n, 2n, 1n]), shape('two', [2n, 1n])])
  const [first = 0, second = 0] = run(graph, Float32Array.of(-4, 0), [1, 2], [2, 1])
  // LeakyRelu makes -2 and 0 of them; softmax along axis 0 adds e^-2 / (1 + e^-2) and the rest.
  const share = Math.exp(-2) / (1 + Math.exp(-2))
  expect(first).toBeCloseTo(-2 + share, 6)
  expect(second).toBeCloseTo(1 - share, 6)
})

test('an operator of ONNX Runtime, with optional outputs left out', () => {
  const node: Node = {
    operator: 'SkipSimplifiedLayerNormalization',
    domain: 'com.microsoft',
    inputs: ['x', 'x', 'scale'],
    outputs: ['normed', '', '', 'y'],
    attributes: { epsilon: { float: 1e-5 } },
  }
  const scale = { name: 'scale', type: 'float32' as const, dims: [2], data: new Uint8Array(8) }
  expect(run(graphOf([node], [scale]), Float32Array.of(1, 2), [1, 2], [1, 2])).toEqual([2, 4])
})

test('an initialiser whose bytes do not fit its dims is refused', () => {
  const data = new Uint8Array(8)
  const graph = graphOf([], [{ name: 'w', type: 'float32', dims: [3], data }])
  expect(() => encodeModel(graph)).toThrow('initializer w: float32[3] takes 12 bytes, not 8')
})
