/** A model that several ranks compute together, behind the interface of graph/decoder.ts. */
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { Decoder, type DecoderOptions } from '../graph/decoder.ts'
import type { LayerScales } from '../graph/cache-dtype.ts'
import { readManifest, type Manifest } from '../graph/manifest.ts'
import { planShards } from '../graph/shard-plan.ts'
import { checkCount, StepLimits } from '../graph/step-limits.ts'
import { ClosedError } from '../onnxruntime/error.ts'
import {
  decodeGroup,
  decodeMicroBatches,
  prefillMicroBatches,
  type MicroBatch,
} from './micro-batches.ts'
import type { RankThreadData } from './rank.ts'
import { AbortedError, firstCount, Signals } from './signals.ts'
import {
  createStepMemory,
  layerMaxima,
  maxCommands,
  writeCommand,
  type Command,
  type StepMemory,
} from './step-memory.ts'

/**
 * Looks at a counter before a thread sleeps: longer than ranks of one group usually wait for each other.
 * More of them gain little, and where other programs use the cores too, they cost the rank that is
 * waited for its time: with 20,000 a step of two ranks on two busy cores took twice as long.
 */
const spinsOfFreeCores = 2000

/** Segments of one rank run one after the other: a pool of threads for each would be in their way. */
const threadsOfRank = ({ tensorParallelSize, pipelineParallelSize }: Manifest, all: number) =>
  tensorParallelSize > 1 ? 1 : Math.max(1, Math.floor(all / pipelineParallelSize))

export type ShardedDecoderOptions = DecoderOptions & {
  /** Called, unless the decoder was closed, when the ranks have ended while the thread was idle. */
  readonly onEnd?: (reason: Error) => void
}

/**
 * Drives the ranks from its own thread, which it blocks while a step runs. After a step that failed, all
 * steps fail with its reason: what the ranks' caches hold is unknown.
 */
export class ShardedDecoder {
  readonly manifest: Manifest
  readonly #limits: StepLimits
  readonly #memory: StepMemory
  readonly #signals: Signals
  readonly #numRanks: number
  readonly #tokens: Int32Array
  readonly #pastLengths: Int32Array
  readonly #logits: Float32Array
  /** Decodes that were begun and not finished, in order. */
  readonly #inFlight: { number: number; firstSlot: number; numRows: number }[] = []
  #isClosed = false

  /**
   * Starts the ranks and waits until each has loaded its part.
   * @param folder what `convertModel` wrote
   * @throws ModelFolderError, RangeError for options that the model cannot meet, AbortedError with the
   * reason of a rank that failed
   */
  constructor(folder: string, options: ShardedDecoderOptions) {
    const { slots, capacity, intraOpNumThreads, cacheDtype = 'float32', onEnd } = options
    const manifest = readManifest(folder)
    checkCount('intraOpNumThreads', intraOpNumThreads, Number.MAX_SAFE_INTEGER)
    this.manifest = manifest
    this.#limits = new StepLimits(manifest, { slots, capacity })
    const memory = createStepMemory(manifest, { slots, capacity })
    this.#memory = memory
    this.#tokens = new Int32Array(memory.tokens)
    this.#pastLengths = new Int32Array(memory.pastLengths)
    this.#logits = new Float32Array(memory.logits)
    const plans = planShards(manifest, manifest)
    this.#numRanks = plans.length
    const cores = availableParallelism()
    const threads = threadsOfRank(manifest, intraOpNumThreads)
    const ranks = plans.map((plan): RankThreadData => {
      const sizes = { folder, manifest, slots, capacity, intraOpNumThreads: threads, cacheDtype }
      const spins = plans.length <= cores ? spinsOfFreeCores : 0
      return { options: { ...sizes, plans, plan }, memory, spins }
    })
    const spins = plans.length < cores ? spinsOfFreeCores : 0
    this.#signals = new Signals(memory.signals, plans.length, spins)
    const supervisor = new Worker(new URL('./supervisor.ts', import.meta.url), {
      workerData: { ranks },
    })
    // It ends with its ranks, and keeps nobody from ending before.
    supervisor.unref()
    supervisor.once('exit', () => {
      if (!this.#isClosed) onEnd?.(this.#signals.failure ?? new Error('all ranks have ended'))
    })
    this.#waitFor(firstCount)
  }

  /** See {@link Decoder.maxLogits}. */
  get maxLogits(): number {
    return this.#limits.maxLogits
  }

  /** See {@link Decoder.prefill}. */
  prefill(
    slot: number,
    pastLength: number,
    tokens: ArrayLike<number>,
    numLogits = 1,
  ): Float32Array {
    this.#checkIdle()
    this.#limits.checkPrefill(slot, pastLength, tokens, numLogits)
    const { pipelineParallelSize, vocabSize } = this.manifest
    const microBatches = prefillMicroBatches(slot, tokens.length, pipelineParallelSize, numLogits)
    for (const { firstLength, firstToken } of microBatches) {
      this.#pastLengths[firstLength] = pastLength + firstToken
    }
    this.#step(tokens, microBatches)
    return this.#logits.subarray(0, numLogits * vocabSize)
  }

  /** See {@link Decoder.decode}. */
  decode(firstSlot: number, tokens: ArrayLike<number>, lengths: ArrayLike<number>): Float32Array {
    this.#checkIdle()
    this.#limits.checkDecode(firstSlot, tokens, lengths)
    const { pipelineParallelSize, vocabSize } = this.manifest
    this.#pastLengths.set(lengths)
    this.#step(tokens, decodeMicroBatches(firstSlot, tokens.length, pipelineParallelSize))
    return this.#logits.subarray(0, tokens.length * vocabSize)
  }

  /** Stages that compute at the same time, each a part of what is in flight. */
  get numStages(): number {
    return this.manifest.pipelineParallelSize
  }

  /**
   * Begins what {@link decode} does, without waiting for it. Until it has been finished, its slots are
   * not to be touched; decodes of other slots may be begun, and are finished in the same order.
   * @throws RangeError, AbortedError
   */
  startDecode(firstSlot: number, tokens: ArrayLike<number>, lengths: ArrayLike<number>): void {
    this.#checkOpen()
    this.#limits.checkDecode(firstSlot, tokens, lengths)
    this.#tokens.set(tokens, firstSlot)
    this.#pastLengths.set(lengths, firstSlot)
    const number = this.#give({
      kind: 'step',
      microBatches: [decodeGroup(firstSlot, tokens.length)],
    })
    this.#inFlight.push({ number, firstSlot, numRows: tokens.length })
  }

  /**
   * Waits for the decode that was begun first.
   * @returns as {@link decode}; valid until its slots decode again
   * @throws Error when none is in flight, AbortedError
   */
  finishDecode(): Float32Array {
    this.#checkOpen()
    const first = this.#inFlight.shift()
    if (first === undefined) throw new Error('no decode is in flight')
    const { number, firstSlot, numRows } = first
    const { tensorParallelSize, vocabSize } = this.manifest
    for (let rank = this.#numRanks - tensorParallelSize; rank < this.#numRanks; rank++) {
      this.#signals.waitForCompleted(rank, number)
    }
    return this.#logits.subarray(firstSlot * vocabSize, (firstSlot + numRows) * vocabSize)
  }

  /** See {@link Decoder.copySlot}. */
  copySlot(from: number, to: number, length: number): void {
    this.#checkIdle()
    this.#limits.checkCopy(from, to, length)
    this.#command({ kind: 'copy', from, to, length })
  }

  /** See {@link Decoder.swapSlots}. */
  swapSlots(a: number, b: number, length: number): void {
    this.#checkIdle()
    this.#limits.checkCopy(a, b, length)
    this.#command({ kind: 'swap', a, b, length })
  }

  /** See {@link Decoder.cacheMaxima}. */
  cacheMaxima(slot: number, length: number): LayerScales[] {
    this.#checkIdle()
    this.#limits.checkCopy(slot, slot, length)
    this.#command({ kind: 'maxima', slot, length })
    // A copy: the next command may be for another slot.
    const all = new Float32Array(new Float32Array(this.#memory.maxima))
    return Array.from({ length: this.manifest.numLayers }, (_, layer) =>
      layerMaxima(all, this.manifest, layer),
    )
  }

  /** Waits until the ranks have let go of the model, unless one fails. Idempotent. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    try {
      this.#command({ kind: 'close' })
    } catch (error) {
      // After a failure, old or new, the ranks end by themselves.
      if (!(error instanceof AbortedError)) throw error
    }
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new ClosedError('decoder')
  }

  /** What is in flight has its numbers in the memory that the next step would write to. */
  #checkIdle(): void {
    this.#checkOpen()
    if (this.#inFlight.length > 0) throw new Error('decodes are in flight: finish them first')
  }

  #step(tokens: ArrayLike<number>, microBatches: readonly MicroBatch[]): void {
    this.#tokens.set(tokens)
    this.#command({ kind: 'step', microBatches })
  }

  /** Gives the ranks a command and waits until all have done it. */
  #command(command: Command): void {
    this.#waitFor(this.#give(command))
  }

  /** @returns the command's number */
  #give(command: Command): number {
    this.#signals.check()
    const number = (this.#signals.command + 1) | 0
    // The command whose place it takes.
    this.#waitFor((number - maxCommands) | 0)
    writeCommand(this.#memory, number, command)
    this.#signals.give()
    return number
  }

  /** Until all ranks have done the command of this number; the first one is loading. */
  #waitFor(number: number): void {
    for (let rank = 0; rank < this.#numRanks; rank++) this.#signals.waitForCompleted(rank, number)
  }
}

/** The decoder of a converted model, with threads for its ranks if there are several. */
export const openDecoder = (
  folder: string,
  options: ShardedDecoderOptions,
): Decoder | ShardedDecoder => {
  const { tensorParallelSize, pipelineParallelSize } = readManifest(folder)
  const isWhole = tensorParallelSize * pipelineParallelSize === 1
  return isWhole ? new Decoder(folder, options) : new ShardedDecoder(folder, options)
}
