// Its own file, and so its own process: nothing else may hold the library or its memory.
import { setImmediate } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import type { Binding } from '../../../backend/onnxruntime/binding.ts'
import { Environment } from '../../../backend/onnxruntime/environment.ts'
import { Session } from '../../../backend/onnxruntime/session.ts'
import { Tensor } from '../../../backend/onnxruntime/tensor.ts'
import { addGraph, ModelFolder } from './small-models.ts'

const collectGarbage = async (): Promise<void> => {
  setFlagsFromString('--expose-gc')
  for (let round = 0; round < 3; round++) {
    runInNewContext('gc')()
    // Finalisers of native objects run in a turn of their own.
    await setImmediate()
  }
}

/** Adds 1 to `total` a run; the tensors and the ones are out of reach when this returns. */
const bindAdd = (environment: Environment, session: Session, total: Float32Array): Binding => {
  const x = new Tensor(environment, total, [total.length])
  const ones = new Tensor(environment, new Float32Array(total.length).fill(1), [total.length])
  return session.bind({ x, w: ones }, { y: x })
}

test('neither the library nor bound memory goes with the garbage', async () => {
  using folder = new ModelFolder()
  const first = new Environment()
  first.close()
  await collectGarbage()
  const environment = new Environment()
  const session = new Session(environment, folder.write(addGraph))
  // Small arrays may lie on JavaScript's own heap, where the collector moves them.
  const totals = [1, 2, 5, 100_000].map((length) => new Float32Array(length))
  const bindings = totals.map((total) => bindAdd(environment, session, total))
  for (let run = 0; run < 3; run++) {
    await collectGarbage()
    const overwriting = Array.from({ length: 50 }, () => new Float32Array(100_000).fill(7))
    for (const binding of bindings) binding.run()
    expect(overwriting.length).toBe(50)
  }
  environment.close()
  expect(totals.map((total) => [...new Set(total)])).toEqual([[3], [3], [3], [3]])
})
