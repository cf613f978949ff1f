/** A loaded model with its KV cache: runs prefill and decode steps over the cache's slots. */
import { join } from 'node:path'
import { Environment } from '../onnxruntime/environment.ts'
import { ClosedError } from '../onnxruntime/error.ts'
import { Session } from '../onnxruntime/session.ts'
import type { CacheDtype, LayerScales } from './cache-dtype.ts'
import { KvCache } from './kv-cache.ts'
import { rankFiles, readManifest, type Manifest } from './manifest.ts'
import { planShards } from './shard-plan.ts'
import { StepBindings } from './step-bindings.ts'
import { checkCount, StepLimits, type StepLimitSizes } from './step-limits.ts'

export type DecoderOptions = StepLimitSizes & {
  /** Threads that share one operator's work. */
  readonly intraOpNumThreads: number
  /** Default: float32. int8 needs the graphs of int8-cache.ts. */
  readonly cacheDtype?: CacheDtype | undefined
}

/**
 * Blocks its thread while a step runs: it belongs into a worker thread. After an OrtError from a step,
 * what the slots of that step hold is undefined.
 */
export class Decoder {
  readonly manifest: Manifest
  readonly #limits: StepLimits
  readonly #environment: Environment
  readonly #cache: KvCache
  readonly #steps: StepBindings
  #isClosed = false

  /**
   * Loads the model, which takes as long as reading and packing its weights does.
   * @param folder what `convertModel` wrote
   * @throws ModelFolderError, RangeError for options that the model cannot meet, OrtError
   */
  constructor(folder: string, options: DecoderOptions) {
    const { slots, capacity, intraOpNumThreads, cacheDtype = 'float32' } = options
    const manifest = readManifest(folder)
    this.#limits = new StepLimits(manifest, { slots, capacity })
    checkCount('intraOpNumThreads', intraOpNumThreads, Number.MAX_SAFE_INTEGER)
    this.manifest = manifest
    this.#cache = new KvCache({ ...manifest, slots, capacity, dtype: cacheDtype })
    this.#environment = new Environment()
    try {
      const plans = planShards(manifest, manifest)
      const [model = ''] = plans.flatMap((plan) => rankFiles(plans, plan, cacheDtype).models)
      const path = join(folder, model)
      const session = new Session(this.#environment, path, { intraOpNumThreads })
      this.#steps = new StepBindings(this.#environment, session, this.#cache, {
        maxRows: slots,
        maxLogits: this.#limits.maxLogits,
        maxTokens: Math.max(slots, capacity),
        vocabSize: manifest.vocabSize,
      })
    } catch (error) {
      this.#environment.close()
      throw error
    }
  }

  /** Rows of logits that a prefill gives at most. */
  get maxLogits(): number {
    return this.#limits.maxLogits
  }

  /**
   * Appends `tokens` to the sequence in `slot`, of which `pastLength` tokens are in the cache. A
   * prompt may come in chunks of any size; with `pastLength` 0 a new sequence begins.
   * @param numLogits at least 1 and at most {@link maxLogits}
   * @returns the logits after each of the last `numLogits` tokens, [numLogits, vocabSize]; valid until
   *   the next step
   * @throws RangeError for a slot, a length, a number of logits or a token that is out of range
   */
  prefill(
    slot: number,
    pastLength: number,
    tokens: ArrayLike<number>,
    numLogits = 1,
  ): Float32Array {
    this.#checkOpen()
    this.#limits.checkPrefill(slot, pastLength, tokens, numLogits)
    const numTokens = tokens.length
    this.#setTokens(tokens)
    this.#setLengths([pastLength], numTokens)
    for (let i = 0; i < numLogits; i++) {
      this.#steps.logitsRows[i] = BigInt(numTokens - numLogits + i)
    }
    this.#steps.run({ firstSlot: slot, numRows: 1, numTokens, numLogits })
    return this.#steps.logits.subarray(0, numLogits * this.manifest.vocabSize)
  }

  /**
   * Appends one token to each sequence in the slots from `firstSlot` on. A free slot among them takes
   * part with any token and length 0: it costs a row, and only its own first position is written.
   * @param tokens one for each slot
   * @param lengths of the sequences in the cache, without the new tokens
   * @returns the logits after each token, [tokens.length, vocabSize]; valid until the next step
   * @throws RangeError for slots, lengths or tokens that are out of range
   */
  decode(firstSlot: number, tokens: ArrayLike<number>, lengths: ArrayLike<number>): Float32Array {
    this.#checkOpen()
    this.#limits.checkDecode(firstSlot, tokens, lengths)
    const numRows = tokens.length
    this.#setTokens(tokens)
    this.#setLengths(lengths, 1)
    for (let row = 0; row < numRows; row++) this.#steps.logitsRows[row] = BigInt(row)
    this.#steps.run({ firstSlot, numRows, numTokens: 1, numLogits: numRows })
    return this.#steps.logits.subarray(0, numRows * this.manifest.vocabSize)
  }

  /**
   * Copies a sequence, or its beginning, to another slot.
   * @throws RangeError for a slot or a length that is out of range
   */
  copySlot(from: number, to: number, length: number): void {
    this.#checkOpen()
    this.#limits.checkCopy(from, to, length)
    this.#cache.copySlot(from, to, length)
  }

  /**
   * Exchanges the beginnings of two slots.
   * @throws RangeError for a slot or a length that is out of range
   */
  swapSlots(a: number, b: number, length: number): void {
    this.#checkOpen()
    this.#limits.checkCopy(a, b, length)
    this.#cache.swapSlots(a, b, length)
  }

  /**
   * See {@link KvCache.maxima}.
   * @throws RangeError for a slot or a length that is out of range
   */
  cacheMaxima(slot: number, length: number): LayerScales[] {
    this.#checkOpen()
    this.#limits.checkCopy(slot, slot, length)
    return this.#cache.maxima(slot, length)
  }

  /** Idempotent. */
  close(): void {
    this.#isClosed = true
    this.#environment.close()
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new ClosedError('decoder')
  }

  #setTokens(tokens: ArrayLike<number>): void {
    for (let i = 0; i < tokens.length; i++) this.#steps.inputIds[i] = BigInt(tokens[i]!)
  }

  #setLengths(pastLengths: ArrayLike<number>, numTokens: number): void {
    let longest = 0
    for (let row = 0; row < pastLengths.length; row++) {
      const length = pastLengths[row]! + numTokens
      this.#steps.lastPositions[row] = length - 1
      longest = Math.max(longest, length)
    }
    this.#steps.totalLength[0] = longest
  }
}
