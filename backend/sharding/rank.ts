/** One rank's thread: does what the driver commands until it is told to close. Started by supervisor.ts. */
import { workerData } from 'node:worker_threads'
import type { MicroBatch } from './micro-batches.ts'
import { RankProgram, type RankOptions } from './rank-program.ts'
import { AbortedError, firstCount, Signals } from './signals.ts'
import { readCommand, type StepMemory } from './step-memory.ts'

export type RankThreadData = {
  readonly options: RankOptions
  readonly memory: StepMemory
  readonly spins: number
}

const { options, memory, spins }: RankThreadData = workerData
const { rank, stage, tensorParallelSize } = options.plan

/** @param numBefore the count of micro-batches before this step */
const doStep = (
  program: RankProgram,
  signals: Signals,
  microBatches: readonly MicroBatch[],
  numBefore: number,
): void => {
  const meet = (): void => {
    if (tensorParallelSize > 1) signals.meet(stage, tensorParallelSize)
  }
  for (const [index, batch] of microBatches.entries()) {
    if (stage > 0) signals.waitForMicroBatches(stage - 1, numBefore + index + 1)
    program.run(batch, meet)
    // The group has met after its last segment: one of it may speak for all.
    if (options.plan.tensorRank === 0) signals.finishMicroBatch(stage)
  }
}

const run = (signals: Signals): void => {
  const program = new RankProgram(options, memory)
  let numMicroBatches = firstCount
  try {
    signals.complete(rank)
    for (let number = (firstCount + 1) | 0; ; number = (number + 1) | 0) {
      signals.waitForCommand(number)
      const command = readCommand(memory, number)
      if (command.kind === 'close') break
      if (command.kind === 'copy') program.copySlot(command.from, command.to, command.length)
      if (command.kind === 'swap') program.swapSlots(command.a, command.b, command.length)
      if (command.kind === 'maxima') program.shareMaxima(command.slot, command.length)
      if (command.kind === 'step') {
        doStep(program, signals, command.microBatches, numMicroBatches)
        numMicroBatches = (numMicroBatches + command.microBatches.length) | 0
      }
      signals.complete(rank)
    }
  } finally {
    program.close()
  }
  signals.complete(rank)
}

const signals = new Signals(memory.signals, options.plans.length, spins)
try {
  run(signals)
} catch (error) {
  // Another rank's failure is told by that rank.
  if (!(error instanceof AbortedError)) {
    signals.abort(`rank ${rank}: ${error instanceof Error ? error.message : String(error)}`)
  }
}
