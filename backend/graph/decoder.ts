/** A loaded model with its KV cache: runs prefill and decode steps over the cache's slots. */
import { join } from 'node:path'
import { Environment } from '../onnxruntime/environment.ts'
import { ClosedError } from '../onnxruntime/error.ts'
import { Session } from '../onnxruntime/session.ts'
import { KvCache } from './kv-cache.ts'
import { graphFiles, readManifest, type Manifest } from './manifest.ts'
import { StepBindings } from './step-bindings.ts'

export type DecoderOptions = {
  /** Sequences that the KV cache holds at a time. */
  readonly slots: number
  /** Tokens of one sequence at most; not above the model's `maxPositions`. */
  readonly capacity: number
  /** Threads that share one operator's work. */
  readonly intraOpNumThreads: number
}

const checkCount = (name: string, value: number, max: number): void => {
  if (Number.isSafeInteger(value) && value >= 1 && value <= max) return
  throw new RangeError(`${name} must be a whole number from 1 to ${max}, not ${value}`)
}

/**
 * Blocks its thread while a step runs: it belongs into a worker thread. Arguments are checked here,
 * since a step that ONNX Runtime refuses leaks memory there; after an OrtError from a step, what the
 * slots of that step hold is undefined.
 */
export class Decoder {
  readonly manifest: Manifest
  readonly #slots: number
  readonly #capacity: number
  readonly #environment: Environment
  readonly #cache: KvCache
  readonly #steps: StepBindings
  #isClosed = false

  /**
   * Loads the model, which takes as long as reading and packing its weights does.
   * @param folder what `convertModel` wrote
   * @throws ModelFolderError, RangeError for options that the model cannot meet, OrtError
   */
  constructor(folder: string, { slots, capacity, intraOpNumThreads }: DecoderOptions) {
    const manifest = readManifest(folder)
    checkCount('slots', slots, Number.MAX_SAFE_INTEGER)
    checkCount('capacity', capacity, manifest.maxPositions)
    checkCount('intraOpNumThreads', intraOpNumThreads, Number.MAX_SAFE_INTEGER)
    this.manifest = manifest
    this.#slots = slots
    this.#capacity = capacity
    this.#cache = new KvCache({ ...manifest, slots, capacity })
    this.#environment = new Environment()
    try {
      const path = join(folder, graphFiles.model)
      const session = new Session(this.#environment, path, { intraOpNumThreads })
      this.#steps = new StepBindings(this.#environment, session, this.#cache, {
        maxRows: slots,
        maxTokens: Math.max(slots, capacity),
        vocabSize: manifest.vocabSize,
      })
    } catch (error) {
      this.#environment.close()
      throw error
    }
  }

  /**
   * Appends `tokens` to the sequence in `slot`, of which `pastLength` tokens are in the cache. A
   * prompt may come in chunks of any size; with `pastLength` 0 a new sequence begins.
   * @returns the logits after the last token, [vocabSize]; valid until the next step
   * @throws RangeError for a slot, a length or a token that is out of range
   */
  prefill(slot: number, pastLength: number, tokens: ArrayLike<number>): Float32Array {
    const numTokens = tokens.length
    this.#checkSlots(slot, 1)
    checkCount('the number of tokens', numTokens, this.#capacity)
    this.#setTokens(tokens)
    this.#setLengths([pastLength], numTokens)
    this.#steps.logitsRows[0] = BigInt(numTokens - 1)
    this.#steps.run({ firstSlot: slot, numRows: 1, numTokens })
    return this.#steps.logits.subarray(0, this.manifest.vocabSize)
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
    const numRows = tokens.length
    this.#checkSlots(firstSlot, numRows)
    if (lengths.length !== numRows) {
      throw new RangeError(`${numRows} tokens and ${lengths.length} lengths: they must be as many`)
    }
    this.#setTokens(tokens)
    this.#setLengths(lengths, 1)
    for (let row = 0; row < numRows; row++) this.#steps.logitsRows[row] = BigInt(row)
    this.#steps.run({ firstSlot, numRows, numTokens: 1 })
    return this.#steps.logits.subarray(0, numRows * this.manifest.vocabSize)
  }

  /**
   * Copies a sequence, or its beginning, to another slot.
   * @throws RangeError for a slot or a length that is out of range
   */
  copySlot(from: number, to: number, length: number): void {
    this.#checkSlots(from, 1)
    this.#checkSlots(to, 1)
    this.#checkLength(length, 0)
    this.#cache.copySlot(from, to, length)
  }

  /**
   * Exchanges the beginnings of two slots.
   * @throws RangeError for a slot or a length that is out of range
   */
  swapSlots(a: number, b: number, length: number): void {
    this.#checkSlots(a, 1)
    this.#checkSlots(b, 1)
    this.#checkLength(length, 0)
    this.#cache.swapSlots(a, b, length)
  }

  /** Idempotent. */
  close(): void {
    this.#isClosed = true
    this.#environment.close()
  }

  #setTokens(tokens: ArrayLike<number>): void {
    const { vocabSize } = this.manifest
    for (let i = 0; i < tokens.length; i++) {
      const token = tokens[i]!
      if (!Number.isInteger(token) || token < 0 || token >= vocabSize) {
        throw new RangeError(`token ${token} is not one of the model's, 0 to ${vocabSize - 1}`)
      }
      this.#steps.inputIds[i] = BigInt(token)
    }
  }

  #setLengths(pastLengths: ArrayLike<number>, numTokens: number): void {
    let longest = 0
    for (let row = 0; row < pastLengths.length; row++) {
      const past = pastLengths[row]!
      this.#checkLength(past, numTokens)
      this.#steps.lastPositions[row] = past + numTokens - 1
      longest = Math.max(longest, past + numTokens)
    }
    this.#steps.totalLength[0] = longest
  }

  #checkSlots(first: number, count: number): void {
    if (this.#isClosed) throw new ClosedError('decoder')
    if (Number.isInteger(first) && first >= 0 && count > 0 && first + count <= this.#slots) return
    throw new RangeError(`there is no slot ${first} with ${count} in a row: ${this.#slots} exist`)
  }

  #checkLength(length: number, numTokens: number): void {
    const longest = this.#capacity - numTokens
    if (Number.isInteger(length) && length >= 0 && length <= longest) return
    throw new RangeError(
      `length ${length} and ${numTokens} new tokens do not fit a slot of ${this.#capacity}`,
    )
  }
}
