/**
 * Preloaded (`--import`) into every thread of a process: ends the engine's threads one after the other,
 * as BURROW_TEST_KILLS says. A kill is due once it is armed and those before it are done.
 */
import { existsSync, writeFileSync } from 'node:fs'
import { createRequire, syncBuiltinESMExports } from 'node:module'
import koffi from 'koffi'
import { parentPort, Worker, workerData, type WorkerOptions } from 'node:worker_threads'
import { firstCount, Signals, type SignalMemory } from '../../../backend/sharding/signals.ts'
import { readCommand, type StepMemory } from '../../../backend/sharding/step-memory.ts'

export type Kill = {
  /** A rank; null: the engine's own thread. */
  readonly rank: number | null
  /** When: of a rank, what it does; of the engine, before it tells of a step. */
  readonly at: 'load' | 'prefill' | 'decode' | 'idle' | 'close' | 'step'
  readonly how: 'exit' | 'throw' | 'memory' | 'terminate' | 'hang' | 'native'
  /** An absolute path: this file says that it is armed, and one beside it that it is done. */
  readonly file: string
}

export const arm = ({ file }: Kill): void => writeFileSync(file, '')

const kills: readonly Kill[] = JSON.parse(process.env.BURROW_TEST_KILLS ?? '[]')

/** The kill that is due, if it is for this rank. */
const dueFor = (rank: number | null): Kill | null => {
  const due = kills.find(({ file }) => !existsSync(`${file}.done`))
  return due?.rank === rank && existsSync(due.file) ? due : null
}

const done = ({ file }: Kill): void => writeFileSync(`${file}.done`, '')

const never = new Int32Array(new SharedArrayBuffer(4))
const { wait: waitFor } = Atomics

/** Ends the calling thread, or has it do nothing for ever: in JavaScript, or outside. */
const die = (kill: Kill): void => {
  done(kill)
  if (kill.how === 'hang') waitFor(never, 0, 0)
  if (kill.how === 'native') koffi.load('libc.so.6').func('int pause()')()
  if (kill.how === 'exit') process.exit(0)
  if (kill.how === 'throw') throw new Error('killed by a test')
  const full: number[][] = []
  while (kill.how === 'memory') full.push(Array.from({ length: 1e5 }, (_, i) => i + 0.5))
}

const commandNumber = (memory: StepMemory): number => new Signals(memory.signals, 1, 0).command

const phaseOf = (memory: StepMemory): Kill['at'] | null => {
  const number = commandNumber(memory)
  if (number === firstCount) return 'load'
  const command = readCommand(memory, number)
  if (command.kind === 'close') return 'close'
  if (command.kind !== 'step') return null
  return (command.microBatches[0]?.numTokens ?? 0) > 1 ? 'prefill' : 'decode'
}

/** A rank counts up in shared memory for each thing that it has done: there it dies. */
const killRank = (rank: number, memory: StepMemory): void => {
  const { add, wait } = Atomics
  const dieIf = (isAt: (kill: Kill) => boolean): void => {
    const kill = dueFor(rank)
    if (kill !== null && kill.how !== 'terminate' && isAt(kill)) die(kill)
  }
  const dyingAdd = (array: Int32Array, index: number, value: number): number => {
    dieIf(({ at }) => at === phaseOf(memory))
    return add(array, index, value)
  }
  const dyingWait = (array: Int32Array, index: number, value: number, timeout?: number) => {
    const waited = wait(array, index, value, timeout)
    // Half a second in which nobody wanted anything.
    if (waited === 'timed-out' && commandNumber(memory) !== firstCount)
      dieIf(({ at }) => at === 'idle')
    return waited
  }
  Object.assign(Atomics, { add: dyingAdd, wait: dyingWait })
}

/** Only the thread that started the ranks can terminate one. */
const terminateRanks = (ranks: readonly { readonly memory: StepMemory }[]): void => {
  const threads: { Worker: typeof Worker } = createRequire(import.meta.url)('node:worker_threads')
  const started: Worker[] = []
  class KnownWorker extends Worker {
    constructor(file: URL | string, options?: WorkerOptions) {
      super(file, options)
      started.push(this)
    }
  }
  Object.assign(threads, { Worker: KnownWorker })
  syncBuiltinESMExports()
  const look = (): void => {
    for (const [rank, { memory }] of ranks.entries()) {
      const kill = dueFor(rank)
      const thread = started[rank]
      if (!thread || kill?.how !== 'terminate' || kill.at !== phaseOf(memory)) continue
      done(kill)
      void thread.terminate()
    }
  }
  setInterval(look, 1).unref()
}

const killEngine = (port: NonNullable<typeof parentPort>): void => {
  const tell = port.postMessage.bind(port)
  port.postMessage = (message: { readonly type: string }) => {
    const kill = message.type === 'events' ? dueFor(null) : null
    if (kill !== null) die(kill)
    tell(message)
  }
}

/** What the engine's thread, the supervisor of its ranks and a rank are started with. */
const data: {
  readonly graphFolder?: string
  readonly ranks?: readonly { readonly memory: StepMemory }[]
  readonly options?: { readonly plan: { readonly rank: number } }
  readonly memory?: StepMemory & { readonly signals: SignalMemory }
} = workerData ?? {}

if (data.options && data.memory) killRank(data.options.plan.rank, data.memory)
else if (data.ranks) terminateRanks(data.ranks)
else if (data.graphFolder !== undefined && parentPort) killEngine(parentPort)
