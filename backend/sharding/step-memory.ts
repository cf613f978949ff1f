/** The memory that the ranks of a sharded model and their driver share, and the commands in it. */
import type { LayerScales } from '../graph/cache-dtype.ts'
import type { Manifest } from '../graph/manifest.ts'
import { maxLogitsRows } from '../graph/step-limits.ts'
import { maxMicroBatches, type MicroBatch } from './micro-batches.ts'
import { signalMemory, type SignalMemory } from './signals.ts'

export type StepMemory = {
  readonly signals: SignalMemory
  /** The last commands, each in the place of its number. */
  readonly commands: SharedArrayBuffer
  /** Of the step, row by row: int32. */
  readonly tokens: SharedArrayBuffer
  /** Of the step's sequences before their micro-batch: int32. */
  readonly pastLengths: SharedArrayBuffer
  /** float32 [maxLogits, vocabSize] (graph/step-limits.ts) */
  readonly logits: SharedArrayBuffer
  /** Of the KV cache, where they are asked for: float32 [numLayers, 2, numKvHeads, headDim]. */
  readonly maxima: SharedArrayBuffer
  /** What each stage begins with: float32 [tensorParallelSize, tokens, hiddenSize] of every token. */
  readonly stageInputs: readonly SharedArrayBuffer[]
  /** The sums inside each stage, after attention and after feed-forward, likewise. */
  readonly stageSums: readonly (readonly [SharedArrayBuffer, SharedArrayBuffer])[]
}

export type StepMemorySizes = { readonly slots: number; readonly capacity: number }

const kinds = ['step', 'copy', 'swap', 'maxima', 'close'] as const

export type Command =
  | { readonly kind: 'step'; readonly microBatches: readonly MicroBatch[] }
  | { readonly kind: 'copy'; readonly from: number; readonly to: number; readonly length: number }
  | { readonly kind: 'swap'; readonly a: number; readonly b: number; readonly length: number }
  | { readonly kind: 'maxima'; readonly slot: number; readonly length: number }
  | { readonly kind: 'close' }

/** Numbers of one micro-batch in the command. */
const microBatchInts = 7

/** Commands that are kept, a power of two; none is given before the one in its place was done. */
export const maxCommands = 64

export const createStepMemory = (
  manifest: Manifest,
  { slots, capacity }: StepMemorySizes,
): StepMemory => {
  const { tensorParallelSize, pipelineParallelSize, hiddenSize, vocabSize } = manifest
  const { numLayers, numKvHeads, headDim } = manifest
  const words = (count: number): SharedArrayBuffer => new SharedArrayBuffer(count * 4)
  const maxTokens = Math.max(slots, capacity)
  const microBatches = maxMicroBatches(slots, pipelineParallelSize)
  // Pages that no step has written to cost nothing.
  const hidden = (): SharedArrayBuffer => words(tensorParallelSize * maxTokens * hiddenSize)
  const stages = Array.from({ length: pipelineParallelSize })
  return {
    signals: signalMemory(pipelineParallelSize, tensorParallelSize * pipelineParallelSize),
    commands: words(maxCommands * (2 + microBatches * microBatchInts)),
    tokens: words(maxTokens),
    pastLengths: words(microBatches),
    logits: words(maxLogitsRows(vocabSize, { slots, capacity }) * vocabSize),
    maxima: words(2 * numLayers * numKvHeads * headDim),
    stageInputs: stages.map(hidden),
    stageSums: stages.map(() => [hidden(), hidden()]),
  }
}

/** One layer's part of {@link StepMemory.maxima}. */
export const layerMaxima = (
  all: Float32Array,
  { numKvHeads, headDim }: Pick<Manifest, 'numKvHeads' | 'headDim'>,
  layer: number,
): LayerScales => {
  const length = numKvHeads * headDim
  const begin = 2 * layer * length
  return {
    keys: all.subarray(begin, begin + length),
    values: all.subarray(begin + length, begin + 2 * length),
  }
}

/** The place of a command; its number may have wrapped around. */
const commandInts = ({ commands }: StepMemory, number: number): Int32Array => {
  const ints = new Int32Array(commands)
  const length = ints.length / maxCommands
  const begin = (number & (maxCommands - 1)) * length
  return ints.subarray(begin, begin + length)
}

/** No rank may be reading the one in its place. */
export const writeCommand = (memory: StepMemory, number: number, command: Command): void => {
  const ints = commandInts(memory, number)
  ints[0] = kinds.indexOf(command.kind)
  if (command.kind === 'copy') ints.set([command.from, command.to, command.length], 1)
  if (command.kind === 'swap') ints.set([command.a, command.b, command.length], 1)
  if (command.kind === 'maxima') ints.set([command.slot, command.length], 1)
  if (command.kind !== 'step') return
  ints[1] = command.microBatches.length
  for (const [index, batch] of command.microBatches.entries()) {
    const { firstSlot, numRows, numTokens, firstToken, firstLength } = batch
    const { logitsPerRow, firstLogits } = batch
    const sizes = [firstSlot, numRows, numTokens, firstToken, firstLength]
    ints.set([...sizes, logitsPerRow, firstLogits], 2 + index * microBatchInts)
  }
}

export const readCommand = (memory: StepMemory, number: number): Command => {
  const ints = commandInts(memory, number)
  const kind = kinds[ints[0]!]
  if (kind === 'copy') return { kind, from: ints[1]!, to: ints[2]!, length: ints[3]! }
  if (kind === 'swap') return { kind, a: ints[1]!, b: ints[2]!, length: ints[3]! }
  if (kind === 'maxima') return { kind, slot: ints[1]!, length: ints[2]! }
  if (kind !== 'step') return { kind: 'close' }
  const microBatches = Array.from({ length: ints[1]! }, (_, index): MicroBatch => {
    const at = 2 + index * microBatchInts
    return {
      firstSlot: ints[at]!,
      numRows: ints[at + 1]!,
      numTokens: ints[at + 2]!,
      firstToken: ints[at + 3]!,
      firstLength: ints[at + 4]!,
      logitsPerRow: ints[at + 5]!,
      firstLogits: ints[at + 6]!,
    }
  })
  return { kind, microBatches }
}
