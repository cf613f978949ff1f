import { afterAll, expect, test } from 'vitest'
import { Environment } from '../../../backend/onnxruntime/environment.ts'
import { OrtError } from '../../../backend/onnxruntime/error.ts'
import { Session } from '../../../backend/onnxruntime/session.ts'
import { Tensor } from '../../../backend/onnxruntime/tensor.ts'
import { encodeModel } from '../../../backend/onnx/model.ts'
import { addGraph, ModelFolder } from './small-models.ts'

const environment = new Environment()
const folder = new ModelFolder()
afterAll(() => {
  environment.close()
  folder[Symbol.dispose]()
})

const errorOf = (call: () => unknown): unknown => {
  try {
    call()
  } catch (error) {
    return error
  }
  return null
}

test('a session knows the names of its inputs and outputs', () => {
  const session = new Session(environment, folder.write(addGraph))
  expect({ inputs: session.inputNames, outputs: session.outputNames }).toEqual({
    inputs: ['x', 'w'],
    outputs: ['y'],
  })
  session.close()
})

test('a missing file, garbage and a cut-off model are errors with a code', () => {
  const whole = encodeModel(addGraph)
  const paths = {
    missing: `${folder.path}/nothing.onnx`,
    garbage: folder.writeBytes(
      'garbage.onnx',
      Uint8Array.from({ length: 999 }, (_, i) => i),
    ),
    cut: folder.writeBytes('cut.onnx', whole.subarray(0, whole.length / 2)),
  }
  const codes = Object.entries(paths).map(([name, path]) => {
    const error = errorOf(() => new Session(environment, path))
    return error instanceof OrtError ? [name, error.call, error.code] : [name, error]
  })
  expect(codes).toEqual([
    ['missing', 'CreateSession', 'no_such_file'],
    ['garbage', 'CreateSession', 'invalid_protobuf'],
    ['cut', 'CreateSession', 'invalid_protobuf'],
  ])
})

test('a model whose operator does not exist is refused by its name', () => {
  const path = folder.write({
    ...addGraph,
    name: 'unknown',
    nodes: [{ operator: 'Subtotal', inputs: ['x', 'w'], outputs: ['y'] }],
  })
  expect(() => new Session(environment, path)).toThrow(/Subtotal/)
})

test('an option that ONNX Runtime does not take is an error, and nothing breaks', () => {
  const path = folder.write(addGraph)
  expect(() => new Session(environment, path, { config: { '': 'x' } })).toThrow(OrtError)
  expect(() => new Session(environment, path, { intraOpNumThreads: -3 })).not.toThrow()
})

test('a session closes its bindings, and an environment its sessions', () => {
  const inner = new Environment()
  const session = new Session(inner, folder.write(addGraph))
  const tensor = new Tensor(inner, new Float32Array(4), [4])
  const bindings = [1, 2].map(() => session.bind({ x: tensor, w: tensor }, { y: tensor }))
  inner.close()
  inner.close()
  session.close()
  const errors = [
    ...bindings.map((binding) => errorOf(() => binding.run())),
    errorOf(() => session.bind({ x: tensor, w: tensor }, { y: tensor })),
    errorOf(() => new Session(inner, folder.write(addGraph))),
    errorOf(() => new Tensor(inner, new Float32Array(1), [1])),
  ]
  expect(errors.map(String)).toEqual([
    'ClosedError: this binding is closed',
    'ClosedError: this binding is closed',
    'ClosedError: this session is closed',
    'ClosedError: this environment is closed',
    'ClosedError: this environment is closed',
  ])
})
