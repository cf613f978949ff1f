/** One rank's thread: does what the driver commands until it is told to close. Started by supervisor.ts. */
import { workerData } from 'node:worker_threads'
import { RankProgram, type RankOptions } from './rank-program.ts'
import { AbortedError, Signals } from './signals.ts'
import { readCommand, type Command, type StepMemory } from './step-memory.ts'

export type RankThreadData = {
  readonly options: RankOptions
  readonly memory: StepMemory
  readonly spins: number
}

const { options, memory, spins }: RankThreadData = workerData
const { rank, stage, tensorParallelSize } = options.plan

const doCommand = (program: RankProgram, signals: Signals, command: Command): void => {
  if (command.kind === 'copy') program.copySlot(command.from, command.to, command.length)
  if (command.kind === 'swap') program.swapSlots(command.a, command.b, command.length)
  if (command.kind === 'maxima') program.shareMaxima(command.slot, command.length)
  if (command.kind !== 'step') return
  const meet = (): void => {
    if (tensorParallelSize > 1) signals.meet(stage, tensorParallelSize)
  }
  for (const [index, batch] of command.microBatches.entries()) {
    if (stage > 0) signals.waitForMicroBatches(stage - 1, index + 1)
    program.run(batch, meet)
    // The group has met after its last segment: one of it may speak for all.
    if (options.plan.tensorRank === 0) signals.finishMicroBatch(stage)
  }
}

const run = (signals: Signals): void => {
  let last = signals.command
  const program = new RankProgram(options, memory)
  try {
    signals.complete()
    for (;;) {
      signals.waitForCommand(last)
      last = signals.command
      const command = readCommand(memory)
      if (command.kind === 'close') break
      doCommand(program, signals, command)
      signals.complete()
    }
  } finally {
    program.close()
  }
  signals.complete()
}

const signals = new Signals(memory.signals, spins)
try {
  run(signals)
} catch (error) {
  // Another rank's failure is told by that rank.
  if (!(error instanceof AbortedError)) {
    signals.abort(`rank ${rank}: ${error instanceof Error ? error.message : String(error)}`)
  }
}
