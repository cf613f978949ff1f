/** Spreads jobs over threads, each of which does one at a time: it gets a job and answers it. */
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'

/**
 * Threads for jobs that compute about as much as they wait for the disk: one a core. Each takes some
 * 40 MiB, so this many stay far below 2 GiB together.
 */
export const poolSize = Math.min(24, availableParallelism())

export type PoolOptions<Job, Answer> = {
  readonly script: URL
  readonly workerData?: unknown
  readonly jobs: readonly Job[]
  /** Told in no order; what it throws ends the pool. */
  readonly onAnswer: (job: Job, answer: Answer) => void
  /** No job is begun after it; those that are done are told. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Returns when all jobs are done, or those that were begun where the signal is aborted.
 * @throws what a thread threw, after all threads have ended
 */
export const runInPool = async <Job, Answer>(options: PoolOptions<Job, Answer>): Promise<void> => {
  const { script, workerData, jobs, onAnswer, signal } = options
  const queue = jobs.values()
  let failure: Error | undefined
  const runWorker = (): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>()
    let worker: Worker
    try {
      worker = new Worker(script, { workerData })
    } catch (error) {
      // Too many threads, say: those that have begun must end before the caller goes on.
      failure ??= error instanceof Error ? error : new Error(String(error))
      return Promise.resolve()
    }
    let current: Job | undefined
    const next = (): void => {
      const isOver = failure !== undefined || signal?.aborted === true
      const { value, done } = isOver ? { value: undefined, done: true } : queue.next()
      if (done === true || value === undefined) return worker.postMessage('end')
      current = value
      return worker.postMessage(value)
    }
    worker.on('message', (answer: Answer) => {
      try {
        if (current !== undefined) onAnswer(current, answer)
      } catch (error) {
        failure ??= error instanceof Error ? error : new Error(String(error))
      }
      next()
    })
    worker.on('error', (error) => {
      failure ??= error instanceof Error ? error : new Error(String(error))
    })
    worker.on('exit', (code) => {
      if (code !== 0) failure ??= new Error(`a worker thread ended with code ${code}`)
      resolve()
    })
    next()
    return promise
  }
  await Promise.all(Array.from({ length: Math.min(poolSize, jobs.length) }, runWorker))
  if (failure !== undefined) throw failure
}
