import { afterAll, expect, test } from 'vitest'
import { Environment } from '../../../backend/onnxruntime/environment.ts'
import { Tensor } from '../../../backend/onnxruntime/tensor.ts'

const environment = new Environment()
afterAll(() => environment.close())

test('the type follows from the array, and 16-bit floats say theirs', () => {
  const types = [
    new Tensor(environment, new Float32Array(2), [2]),
    new Tensor(environment, new Float64Array(2), [2]),
    new Tensor(environment, new Uint8Array(2), [2]),
    new Tensor(environment, new Int8Array(2), [2]),
    new Tensor(environment, new Uint16Array(2), [2]),
    new Tensor(environment, new Int16Array(2), [2]),
    new Tensor(environment, new Int32Array(2), [2]),
    new Tensor(environment, new BigInt64Array(2), [2]),
    new Tensor(environment, new Uint16Array(2), [2], 'float16'),
    new Tensor(environment, new Uint16Array(2), [2], 'bfloat16'),
    new Tensor(environment, new Uint8Array(2), [2], 'bool'),
  ].map((tensor) => {
    tensor.close()
    return tensor.type
  })
  expect(types).toEqual([
    'float32',
    'float64',
    'uint8',
    'int8',
    'uint16',
    'int16',
    'int32',
    'int64',
    'float16',
    'bfloat16',
    'bool',
  ])
})

test.each([
  [[3], 'has 3 elements, but the data has 4'],
  [[2, 3], 'has 6 elements, but the data has 4'],
  [[], 'has 1 elements, but the data has 4'],
  [[-4], 'must be whole numbers, 0 or more'],
  [[-2, -2], 'must be whole numbers, 0 or more'],
  [[1.5], 'must be whole numbers, 0 or more'],
  [[Number.NaN], 'must be whole numbers, 0 or more'],
])('dims %j do not fit four elements', (dims, message) => {
  expect(() => new Tensor(environment, new Float32Array(4), dims)).toThrow(message)
})

test('an array whose elements have another size than the type is refused', () => {
  expect(() => new Tensor(environment, new Float32Array(4), [4], 'float16')).toThrow(
    'tensor float16[4]: Float32Array does not hold float16',
  )
})

test('memory that could shrink under ONNX Runtime is refused', () => {
  const data = new Float32Array(new ArrayBuffer(16, { maxByteLength: 32 }))
  expect(() => new Tensor(environment, data, [4])).toThrow('resizable')
})

test('a closed tensor says so, and may be closed again', () => {
  const tensor = new Tensor(environment, new Float32Array(4), [2, 2])
  tensor.close()
  tensor.close()
  expect(() => tensor.pointer).toThrow('this tensor is closed')
})
