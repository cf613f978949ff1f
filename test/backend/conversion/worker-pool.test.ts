import { expect, test } from 'vitest'
import { poolSize, runInPool } from '../../../backend/conversion/worker-pool.ts'

const thread = `import { parentPort, workerData } from 'node:worker_threads'
const { done } = workerData
parentPort.on('message', (job) => {
  if (job === 'end') return parentPort.close()
  Atomics.wait(done, 1, 0, 300)
  Atomics.add(done, 0, 1)
  return parentPort.postMessage('done')
})`
const script = new URL(`data:text/javascript,${encodeURIComponent(thread)}`)

// A single core has a single thread, before which no other has begun.
test.runIf(poolSize > 1)(
  'where a thread cannot begin, those that have are waited for',
  async () => {
    const done = new Int32Array(new SharedArrayBuffer(8))
    let begun = 0
    const workerData = {
      done,
      get trap() {
        begun += 1
        if (begun > 1) throw new Error('no more threads')
        return begun
      },
    }
    const answers: unknown[] = []
    const onAnswer = (_job: number, answer: unknown) => answers.push(answer)
    const work = runInPool({ script, workerData, jobs: [1, 2, 3, 4], onAnswer })
    await expect(work).rejects.toThrow('no more threads')
    expect([done[0], answers]).toEqual([1, ['done']])
  },
)
