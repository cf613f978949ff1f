// Ends its process while the ranks of the model in the folder of its argument wait or compute.
import { Worker } from 'node:worker_threads'
import { openDecoder } from '../../../backend/sharding/sharded-decoder.ts'

const [, , folder = '', how = ''] = process.argv

if (how === 'while they compute') {
  const worker = new Worker(new URL('./decoder-thread.ts', import.meta.url), {
    workerData: { folder },
  })
  worker.once('online', () => setTimeout(() => process.exit(7), 800))
} else {
  const decoder = openDecoder(folder, { slots: 4, capacity: 32, intraOpNumThreads: 1 })
  decoder.prefill(0, 0, [1, 2, 3])
  if (how === 'by an exception') throw new Error('the end')
  if (how === 'closed') decoder.close()
  process.exitCode = 7
  if (how === 'while they wait') process.exit()
}
