/**
 * The thread that starts the ranks and notices when one dies. The driver cannot: it waits without
 * reading messages, and a thread that was ended says nothing by itself.
 */
import { Worker, workerData } from 'node:worker_threads'
import type { RankThreadData } from './rank.ts'
import { beatMs, Signals } from './signals.ts'
import { readCommand } from './step-memory.ts'

const { ranks }: { readonly ranks: readonly RankThreadData[] } = workerData

/** A rank ends by itself only when it was told to close, and after it has. */
const hasClosed = ({ options, memory }: RankThreadData, signals: Signals): boolean => {
  const { command } = signals
  if (readCommand(memory, command).kind !== 'close') return false
  return signals.hasCompleted(options.plan.rank, command)
}

const start = (data: RankThreadData, signals: Signals): void => {
  const { rank } = data.options.plan
  const fail = (error: unknown): void => signals.abort(`rank ${rank}: ${String(error)}`)
  try {
    const worker = new Worker(new URL('./rank.ts', import.meta.url), { workerData: data })
    worker.once('error', fail)
    worker.once('exit', () => {
      if (!hasClosed(data, signals)) signals.abort(`rank ${rank} has ended`)
    })
  } catch (error) {
    // The system has no thread to spare.
    fail(error)
  }
}

for (const data of ranks) {
  const signals = new Signals(data.memory.signals, ranks.length, 0)
  // The driver notices when the beats stop. The ranks keep this thread alive, the timer does not.
  if (data.options.plan.rank === 0) setInterval(() => signals.beat(), beatMs).unref()
  start(data, signals)
}
