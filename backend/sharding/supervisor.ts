/**
 * The thread that starts the ranks and notices when one dies. The driver cannot: it waits without
 * reading messages, and a thread that was ended says nothing by itself.
 */
import { Worker, workerData } from 'node:worker_threads'
import type { RankThreadData } from './rank.ts'
import { Signals } from './signals.ts'
import { readCommand } from './step-memory.ts'

const { ranks }: { readonly ranks: readonly RankThreadData[] } = workerData

for (const data of ranks) {
  const { rank } = data.options.plan
  const signals = new Signals(data.memory.signals, ranks.length, 0)
  const worker = new Worker(new URL('./rank.ts', import.meta.url), { workerData: data })
  worker.once('error', (error) => signals.abort(`rank ${rank}: ${String(error)}`))
  worker.once('exit', () => {
    const { command } = signals
    const wasClosed = command !== 0 && readCommand(data.memory, command).kind === 'close'
    if (!wasClosed) signals.abort(`rank ${rank} has ended`)
  })
}
