/**
 * What one rank computes: its segments' sessions, its part of the KV cache, and the bindings of both to
 * the memory that the ranks share. Nothing here waits for another rank.
 */
import { join } from 'node:path'
import { cacheNames } from '../graph/attention.ts'
import { BoundForms, type MakeTensor } from '../graph/bound-forms.ts'
import type { CacheDtype } from '../graph/cache-dtype.ts'
import { KvCache } from '../graph/kv-cache.ts'
import { rankFiles, type Manifest } from '../graph/manifest.ts'
import { segmentsOf, type Segment } from '../graph/segments.ts'
import { rangeLength, type RankPlan } from '../graph/shard-plan.ts'
import { maxLogitsRows } from '../graph/step-limits.ts'
import type { Binding } from '../onnxruntime/binding.ts'
import { Environment } from '../onnxruntime/environment.ts'
import { Session } from '../onnxruntime/session.ts'
import type { Tensor } from '../onnxruntime/tensor.ts'
import type { MicroBatch } from './micro-batches.ts'
import { layerMaxima, type StepMemory, type StepMemorySizes } from './step-memory.ts'

export type RankOptions = StepMemorySizes & {
  readonly folder: string
  readonly manifest: Manifest
  /** Of all ranks. */
  readonly plans: readonly RankPlan[]
  readonly plan: RankPlan
  readonly intraOpNumThreads: number
  readonly cacheDtype: CacheDtype
}

type LoadedSegment = Segment & {
  readonly session: Session
  /** The shared memory that the segment's parts are read from and its part is written to. */
  readonly source: Float32Array
  readonly target: Float32Array
}

type BoundSegment = { readonly isHeadAlone: boolean; readonly binding: Binding }

/** A head in one graph with its layers computes a row at least, wanted or not. */
const computedPerRow = ({ logitsPerRow }: MicroBatch): number => Math.max(1, logitsPerRow)

export class RankProgram {
  readonly #options: RankOptions
  readonly #memory: StepMemory
  readonly #environment = new Environment()
  readonly #cache: KvCache
  readonly #segments: readonly LoadedSegment[]
  readonly #forms: BoundForms<MicroBatch, BoundSegment>

  readonly #tokens: Int32Array
  readonly #pastLengths: Int32Array
  readonly #sharedLogits: Float32Array

  readonly #inputIds: BigInt64Array
  readonly #lastPositions: Int32Array
  readonly #totalLength = new Int32Array(1)
  readonly #logitsRows: BigInt64Array
  /** [maxLogits, vocabRows] */
  readonly #logits: Float32Array

  /** Loads the rank's graphs. @throws OrtError */
  constructor(options: RankOptions, memory: StepMemory) {
    const { plan, manifest, slots, capacity } = options
    this.#options = options
    this.#memory = memory
    this.#forms = new BoundForms(this.#environment, (batch, tensor) => this.#bind(batch, tensor))
    this.#tokens = new Int32Array(memory.tokens)
    this.#pastLengths = new Int32Array(memory.pastLengths)
    this.#sharedLogits = new Float32Array(memory.logits)
    this.#inputIds = new BigInt64Array(Math.max(slots, capacity))
    this.#lastPositions = new Int32Array(slots)
    const maxLogits = maxLogitsRows(manifest.vocabSize, { slots, capacity })
    this.#logitsRows = new BigInt64Array(maxLogits)
    this.#logits = new Float32Array(plan.isLastStage ? maxLogits * plan.vocabRows : 0)
    this.#cache = new KvCache({
      numLayers: rangeLength(plan.layers),
      numKvHeads: rangeLength(plan.kvHeads),
      headDim: manifest.headDim,
      slots,
      capacity,
      dtype: options.cacheDtype,
    })
    try {
      this.#segments = this.#load()
    } catch (error) {
      this.#environment.close()
      throw error
    }
  }

  /**
   * Computes this rank's part of a micro-batch.
   * @param meet called after each segment: the rank's group must have come there before the next begins
   * @throws OrtError
   */
  run(batch: MicroBatch, meet: () => void): void {
    this.#prepare(batch)
    for (const { isHeadAlone, binding } of this.#form(batch)) {
      if (isHeadAlone && batch.logitsPerRow === 0) continue
      binding.run()
      meet()
    }
    if (this.#options.plan.isLastStage) {
      this.#shareLogits(batch.firstLogits, batch.numRows * batch.logitsPerRow)
    }
  }

  /** See {@link KvCache.copySlot}. */
  copySlot(from: number, to: number, length: number): void {
    this.#cache.copySlot(from, to, length)
  }

  /** See {@link KvCache.swapSlots}. */
  swapSlots(a: number, b: number, length: number): void {
    this.#cache.swapSlots(a, b, length)
  }

  /** Writes the largest magnitudes of the rank's layers and heads ({@link KvCache.maxima}) to their place. */
  shareMaxima(slot: number, length: number): void {
    const { plan, manifest } = this.#options
    const all = new Float32Array(this.#memory.maxima)
    for (const [index, maxima] of this.#cache.maxima(slot, length).entries()) {
      const layer = layerMaxima(all, manifest, plan.layers.begin + index)
      const firstChannel = plan.kvHeads.begin * manifest.headDim
      layer.keys.set(maxima.keys, firstChannel)
      layer.values.set(maxima.values, firstChannel)
    }
  }

  /** Idempotent. */
  close(): void {
    this.#environment.close()
  }

  #load(): LoadedSegment[] {
    const { folder, plans, plan, intraOpNumThreads, cacheDtype } = this.#options
    const { models } = rankFiles(plans, plan, cacheDtype)
    const { stageInputs, stageSums } = this.#memory
    const view = (memory: SharedArrayBuffer | undefined): Float32Array =>
      memory === undefined ? new Float32Array() : new Float32Array(memory)
    const input = view(stageInputs[plan.stage])
    const output = view(stageInputs[plan.stage + 1])
    const [attended, summed] = stageSums[plan.stage] ?? []
    let source = input
    return segmentsOf(plan).map((segment, index) => {
      const path = join(folder, models[index] ?? '')
      const session = new Session(this.#environment, path, {
        intraOpNumThreads,
        // With one for each segment, two ranks of a small model took twice the memory.
        hasArena: plan.tensorParallelSize === 1,
      })
      const last = segment.blocks.at(-1)
      const endsStage = last?.kind === 'mlp' && last.layer === plan.layers.end - 1
      let target = view(last?.kind === 'attention' ? attended : summed)
      if (last === undefined && segment.embeds) target = input
      if (endsStage && !plan.isLastStage) target = output
      const loaded = { ...segment, session, source, target }
      source = target
      return loaded
    })
  }

  /** Writes the numbers of the micro-batch into the memory that is bound. */
  #prepare(batch: MicroBatch): void {
    const { numRows, numTokens, firstToken, firstLength } = batch
    const { plan } = this.#options
    if (plan.isFirstStage) {
      const { begin, end } = plan.vocab
      for (let i = 0; i < numRows * numTokens; i++) {
        const token = this.#tokens[firstToken + i]!
        // Another rank has this token's row: here it is the first one of zeros.
        const isOwn = token >= begin && token < end
        this.#inputIds[i] = BigInt(isOwn ? token - begin : end - begin)
      }
    }
    let longest = 0
    for (let row = 0; row < numRows; row++) {
      const length = this.#pastLengths[firstLength + row]! + numTokens
      this.#lastPositions[row] = length - 1
      longest = Math.max(longest, length)
    }
    this.#totalLength[0] = longest
    const perRow = computedPerRow(batch)
    for (let i = 0; i < numRows * perRow; i++) {
      const end = (Math.floor(i / perRow) + 1) * numTokens
      this.#logitsRows[i] = BigInt(end - perRow + (i % perRow))
    }
  }

  /** The rank's slice of the vocabulary goes to its place in each row. */
  #shareLogits(firstRow: number, numRows: number): void {
    const { plan, manifest } = this.#options
    const width = rangeLength(plan.vocab)
    for (let row = 0; row < numRows; row++) {
      const own = this.#logits.subarray(row * plan.vocabRows, row * plan.vocabRows + width)
      this.#sharedLogits.set(own, (firstRow + row) * manifest.vocabSize + plan.vocab.begin)
    }
  }

  #form(batch: MicroBatch): readonly BoundSegment[] {
    const { firstSlot, numRows, numTokens, firstToken } = batch
    const key = `${firstSlot} ${numRows} ${numTokens} ${firstToken} ${computedPerRow(batch)}`
    return this.#forms.of(key, batch)
  }

  #bind(batch: MicroBatch, tensor: MakeTensor): BoundSegment[] {
    const common = this.#commonTensors(batch, tensor)
    return this.#segments.map((segment) => {
      const { session, blocks, hasHead } = segment
      const all = { ...common, ...this.#partTensors(batch, segment, tensor) }
      const pick = (names: readonly string[]): Record<string, Tensor> =>
        Object.fromEntries(Object.entries(all).filter(([name]) => names.includes(name)))
      const binding = session.bind(pick(session.inputNames), pick(session.outputNames))
      return { isHeadAlone: hasHead && blocks.length === 0, binding }
    })
  }

  /** What is the same for all segments, by the names of inputs and outputs. */
  #commonTensors(batch: MicroBatch, tensor: MakeTensor): Record<string, Tensor> {
    const { firstSlot, numRows, numTokens } = batch
    const { plan } = this.#options
    const numLogits = numRows * computedPerRow(batch)
    const ids = this.#inputIds.subarray(0, numRows * numTokens)
    const tensors: Record<string, Tensor> = {
      input_ids: tensor(ids, [numRows, numTokens]),
      seqlens_k: tensor(this.#lastPositions.subarray(0, numRows), [numRows]),
      total_sequence_length: tensor(this.#totalLength, [1]),
      logits_rows: tensor(this.#logitsRows.subarray(0, numLogits), [numLogits]),
    }
    if (plan.isLastStage) {
      const logits = this.#logits.subarray(0, numLogits * plan.vocabRows)
      tensors.logits = tensor(logits, [numLogits, plan.vocabRows])
    }
    for (const [index, { keys, values, dims }] of this.#cache.rows(firstSlot, numRows).entries()) {
      const { past, present } = cacheNames(plan.layers.begin + index)
      // The same tensor as input and output: the operator sees it and writes in place.
      tensors[past.key] = tensors[present.key] = tensor(keys, dims)
      tensors[past.value] = tensors[present.value] = tensor(values, dims)
    }
    return tensors
  }

  /** Each micro-batch of a step has a region of its own, in which the ranks' parts lie one by one. */
  #partTensors(
    { numRows, numTokens, firstToken }: MicroBatch,
    { source, target, embeds, hasHead }: LoadedSegment,
    tensor: MakeTensor,
  ): Record<string, Tensor> {
    const { plan, manifest } = this.#options
    const { tensorParallelSize, tensorRank } = plan
    const hidden = [numRows, numTokens, manifest.hiddenSize]
    const length = numRows * numTokens * manifest.hiddenSize
    const begin = tensorParallelSize * firstToken * manifest.hiddenSize
    const tensors: Record<string, Tensor> = {}
    if (!embeds) {
      const parts = source.subarray(begin, begin + tensorParallelSize * length)
      tensors.parts = tensor(
        parts,
        tensorParallelSize === 1 ? hidden : [tensorParallelSize, ...hidden],
      )
    }
    if (!hasHead) {
      const own = begin + tensorRank * length
      tensors.part = tensor(target.subarray(own, own + length), hidden)
    }
    return tensors
  }
}
