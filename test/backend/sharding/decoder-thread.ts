// Runs steps of the converted model in a folder until one fails, and tells the reasons.
import { parentPort, workerData } from 'node:worker_threads'
import { openDecoder } from '../../../backend/sharding/sharded-decoder.ts'

const decoder = openDecoder(workerData.folder, { slots: 4, capacity: 32, intraOpNumThreads: 1 })

const failureOf = (act: () => unknown): string | null => {
  try {
    act()
    return null
  } catch (error) {
    return String(error)
  }
}

let first: string | null = null
for (let step = 0; step < 200 && first === null; step++) {
  first = failureOf(() => decoder.decode(0, [1, 2, 3, 4], [0, 0, 0, 0]))
  // Time for ranks to go to sleep.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
}
const next = failureOf(() => decoder.prefill(0, 0, [1]))
const close = failureOf(() => decoder.close())
parentPort?.postMessage({ first, next, close })
