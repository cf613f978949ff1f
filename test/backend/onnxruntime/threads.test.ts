import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { afterAll, expect, test } from 'vitest'
import { Environment } from '../../../backend/onnxruntime/environment.ts'
import { Session } from '../../../backend/onnxruntime/session.ts'
import { Tensor } from '../../../backend/onnxruntime/tensor.ts'
import { addGraph, ModelFolder, slowGraph } from './small-models.ts'

const folder = new ModelFolder()
afterAll(() => folder[Symbol.dispose]())

const start = (workerData: object): Worker =>
  new Worker(new URL('./add-worker.ts', import.meta.url), { workerData })

const addWorker = (path: string, shared: SharedArrayBuffer, runs: number): Worker =>
  start({ path, shared, runs, dims: [shared.byteLength / 4], inputs: ['x', 'w'] })

test('several threads load the library anew and run at once, on memory that all see', async () => {
  const path = folder.write(addGraph)
  const memories = [1, 2, 3].map(() => new SharedArrayBuffer(16))
  const exits = memories.map((shared) => once(addWorker(path, shared, 1000), 'exit'))
  const environment = new Environment()
  const session = new Session(environment, path)
  const x = new Tensor(environment, new Float32Array(2).fill(1), [2])
  const own = new Float32Array(2)
  const binding = session.bind({ x, w: x }, { y: new Tensor(environment, own, [2]) })
  for (let run = 0; run < 1000; run++) binding.run()
  await Promise.all(exits)
  // Workers have closed their environments; this thread's still works.
  binding.run()
  environment.close()
  expect([...memories.map((shared) => [...new Float32Array(shared)]), [...own]]).toEqual([
    [1000, 1000, 1000, 1000],
    [1000, 1000, 1000, 1000],
    [1000, 1000, 1000, 1000],
    [2, 2],
  ])
})

test('a thread can be terminated while it runs a model, and others go on', async () => {
  const path = folder.write(slowGraph)
  const side = 256
  const shared = new SharedArrayBuffer(side * side * 4)
  const worker = start({ path, shared, runs: 1e9, dims: [side, side], inputs: ['x'] })
  await once(worker, 'message')
  const exitCode = await worker.terminate()
  const memory = new SharedArrayBuffer(8)
  await once(addWorker(folder.write(addGraph), memory, 3), 'exit')
  expect([exitCode, [...new Float32Array(memory)]]).toEqual([1, [3, 3]])
})
