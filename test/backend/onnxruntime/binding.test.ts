import { afterAll, expect, test } from 'vitest'
import { Environment } from '../../../backend/onnxruntime/environment.ts'
import { OrtError } from '../../../backend/onnxruntime/error.ts'
import { Session } from '../../../backend/onnxruntime/session.ts'
import { Tensor, type TensorData } from '../../../backend/onnxruntime/tensor.ts'
import { addGraph, castGraph, ModelFolder } from './small-models.ts'

const environment = new Environment()
const folder = new ModelFolder()
const add = new Session(environment, folder.write(addGraph))
afterAll(() => {
  environment.close()
  folder[Symbol.dispose]()
})

const tensor = (data: TensorData): Tensor => new Tensor(environment, data, [data.length])

test('a binding reads what its inputs hold now and writes its outputs in place, run after run', () => {
  const x = Float32Array.of(1, 2, 3)
  const y = new Float32Array(3)
  const w = tensor(Float32Array.of(10, 20, 30))
  const binding = add.bind({ x: tensor(x), w }, { y: tensor(y) })
  binding.run()
  const first = [...y]
  x.set([4, 5, 6])
  binding.run()
  binding.close()
  expect([first, [...y]]).toEqual([
    [11, 22, 33],
    [14, 25, 36],
  ])
})

test('one tensor can be input and output', () => {
  const total = Float32Array.of(0, 100)
  const x = tensor(total)
  const binding = add.bind({ x, w: tensor(Float32Array.of(1, 2)) }, { y: x })
  for (let run = 0; run < 5; run++) binding.run()
  expect([...total]).toEqual([5, 110])
})

test('views of a SharedArrayBuffer work in and out', () => {
  const shared = new SharedArrayBuffer(32)
  const x = new Float32Array(shared, 4, 3)
  const y = new Float32Array(shared, 16, 3)
  x.set([1, 2, 3])
  add.bind({ x: tensor(x), w: tensor(x) }, { y: tensor(y) }).run()
  expect([...new Float32Array(shared)]).toEqual([0, 1, 2, 3, 2, 4, 6, 0])
})

test.each<[string, TensorData, Parameters<typeof castGraph>, TensorData, number[]]>([
  ['int32', Int32Array.of(-1, 7), ['int32', 'int64', 7], new BigInt64Array(2), [-1, 7]],
  ['int8', Int8Array.of(-1, 7), ['int8', 'float32', 1], new Float32Array(2), [-1, 7]],
  ['uint8', Uint8Array.of(1, 255), ['uint8', 'float64', 11], new Float64Array(2), [1, 255]],
  ['int16', Int16Array.of(-1, 7), ['int16', 'int8', 3], new Int8Array(2), [-1, 7]],
  ['uint16', Uint16Array.of(1, 65535), ['uint16', 'int32', 6], new Int32Array(2), [1, 65535]],
])('%s data keeps its values', (_name, data, [from, to, number], out, values) => {
  const session = new Session(environment, folder.write(castGraph(from, to, number)))
  session.bind({ x: tensor(data) }, { y: tensor(out) }).run()
  expect(Array.from(out, Number)).toEqual(values)
})

test('a 16-bit float travels as its bits', () => {
  const session = new Session(environment, folder.write(castGraph('float32', 'float16', 10)))
  const bits = new Uint16Array(3)
  const half = new Tensor(environment, bits, [3], 'float16')
  session.bind({ x: tensor(Float32Array.of(1, -2, 65504)) }, { y: half }).run()
  expect([...bits]).toEqual([0x3c00, 0xc000, 0x7bff])
})

test('tensors may be closed and forgotten once they are bound', () => {
  const y = new Float32Array(1000)
  const tensors = [new Float32Array(1000).fill(1), new Float32Array(1000).fill(2), y].map(tensor)
  const [x, w, out] = tensors
  if (!x || !w || !out) throw new Error('three tensors were made')
  const binding = add.bind({ x, w }, { y: out })
  for (const made of tensors) made.close()
  binding.run()
  expect(new Set(y)).toEqual(new Set([3]))
})

test('names that the model does not have, and inputs left out, are refused', () => {
  const x = tensor(new Float32Array(2))
  expect(() => add.bind({ x, w: x, z: x }, { y: x })).toThrow("no input 'z'; it has x, w")
  expect(() => add.bind({ x, w: x }, { z: x })).toThrow("no output 'z'; it has y")
  expect(() => add.bind({ x }, { y: x })).toThrow('no tensor for input w')
})

test("a run with shapes or types that do not fit fails with ONNX Runtime's words, and the next works", () => {
  const two = tensor(new Float32Array(2))
  const three = tensor(new Float32Array(3))
  const errors = [
    add.bind({ x: two, w: three }, { y: three }),
    add.bind({ x: tensor(new Int32Array(2)), w: two }, { y: two }),
    add.bind({ x: new Tensor(environment, new Float32Array(2), [1, 2]), w: two }, { y: two }),
  ].map((binding) => {
    try {
      binding.run()
      return null
    } catch (error) {
      return error instanceof OrtError ? `${error.call} ${error.code}` : error
    }
  })
  expect(errors).toEqual([
    'RunWithBinding fail',
    'RunWithBinding invalid_argument',
    'RunWithBinding invalid_argument',
  ])
  expect(() => add.bind({ x: two, w: two }, { y: two }).run()).not.toThrow()
})

test('a binding closes once and does not run after', () => {
  const x = tensor(new Float32Array(2))
  const binding = add.bind({ x, w: x }, { y: x })
  binding.close()
  binding.close()
  expect(() => binding.run()).toThrow('this binding is closed')
})

test('closed tensors cannot be bound', () => {
  const x = tensor(new Float32Array(2))
  x.close()
  expect(() => add.bind({ x, w: x }, { y: x })).toThrow('this tensor is closed')
})

test('memory that was transferred away is not touched', () => {
  const data = new Float32Array(2)
  const x = tensor(data)
  const binding = add.bind({ x, w: x }, { y: x })
  structuredClone(data.buffer, { transfer: [data.buffer] })
  expect(() => binding.run()).toThrow('lost its memory')
})
