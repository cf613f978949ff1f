// Its own file, and so its own process: the first environment of a process decides about the pool.
import { expect, test } from 'vitest'
import { Environment } from '../../../backend/onnxruntime/environment.ts'
import { Session } from '../../../backend/onnxruntime/session.ts'
import { Tensor } from '../../../backend/onnxruntime/tensor.ts'
import { addGraph, ModelFolder } from './small-models.ts'

test('sessions of an environment with a global pool run on it', () => {
  using folder = new ModelFolder()
  const environment = new Environment({ globalIntraOpNumThreads: 2 })
  const path = folder.write(addGraph)
  expect(() => new Session(environment, path, { intraOpNumThreads: 2 })).toThrow(
    'no meaning beside a global thread pool',
  )
  const ones = new Tensor(environment, new Float32Array(3).fill(1), [3])
  const sums = [1, 2].map(() => {
    const y = new Float32Array(3)
    const out = new Tensor(environment, y, [3])
    new Session(environment, path).bind({ x: ones, w: ones }, { y: out }).run()
    return [...y]
  })
  environment.close()
  expect(sums).toEqual([
    [2, 2, 2],
    [2, 2, 2],
  ])
})
