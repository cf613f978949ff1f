import { expect, test } from 'vitest'
import { ortApi } from '../../../backend/onnxruntime/api.ts'
import { Environment } from '../../../backend/onnxruntime/environment.ts'
import {
  createHandleMemory,
  HandleTable,
  noteHandlesIn,
} from '../../../backend/onnxruntime/handle-table.ts'
import { Session } from '../../../backend/onnxruntime/session.ts'
import { Tensor } from '../../../backend/onnxruntime/tensor.ts'
import { addGraph, ModelFolder } from './small-models.ts'

const memory = createHandleMemory()
noteHandlesIn(memory)
const table = new HandleTable(memory)

/** A session that was run with two bindings. */
const open = (path: string) => {
  const environment = new Environment()
  const session = new Session(environment, path, { intraOpNumThreads: 2 })
  const [x, w, y] = [1, 2, 0].map(
    (value) => new Tensor(environment, new Float32Array(4).fill(value), [4]),
  ) as [Tensor, Tensor, Tensor]
  const bindings = [session.bind({ x, w }, { y }), session.bind({ x: w, w: x }, { y })]
  for (const binding of bindings) binding.run()
  for (const tensor of [x, w, y]) tensor.close()
  return { environment, bindings, sum: y.data[0] }
}

test('what is open is in the table, and what was closed is not', () => {
  using models = new ModelFolder()
  const { environment, bindings } = open(models.write(addGraph))
  expect(table.size).toBe(5)
  bindings[0]?.close()
  expect(table.size).toBe(4)
  environment.close()
  expect(table.size).toBe(0)
})

test('what was left open is released once, and sessions can be opened as before', () => {
  using models = new ModelFolder()
  const path = models.write(addGraph)
  for (let i = 0; i < 3; i++) {
    expect(open(path).sum).toBe(3)
    expect(table.releaseAll(ortApi())).toBe(5)
    expect(table.releaseAll(ortApi())).toBe(0)
  }
  const { environment, sum } = open(path)
  expect(sum).toBe(3)
  environment.close()
  expect(table.size).toBe(0)
})
