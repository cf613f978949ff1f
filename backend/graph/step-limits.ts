/**
 * Checks the arguments of a step before anything runs: ONNX Runtime leaks memory with each step that
 * it refuses, and does not notice every wrong one.
 */
import type { Manifest } from './manifest.ts'

export type StepLimitSizes = {
  /** Sequences that the KV cache holds at a time. */
  readonly slots: number
  /** Tokens of one sequence at most; not above the model's `maxPositions`. */
  readonly capacity: number
}

/** Memory for the logits of a step, unless its slots need more. */
const logitsBytes = 16 * 2 ** 20

/** Rows of logits that a step gives at most: one for each slot, or so many of a prompt's positions. */
export const maxLogitsRows = (vocabSize: number, { slots, capacity }: StepLimitSizes): number => {
  const rows = Math.floor(logitsBytes / (vocabSize * Float32Array.BYTES_PER_ELEMENT))
  return Math.max(slots, 1, Math.min(capacity, rows))
}

/** @throws RangeError */
export const checkCount = (name: string, value: number, max: number): void => {
  if (Number.isSafeInteger(value) && value >= 1 && value <= max) return
  throw new RangeError(`${name} must be a whole number from 1 to ${max}, not ${value}`)
}

export class StepLimits {
  /** See {@link maxLogitsRows}. */
  readonly maxLogits: number
  readonly #slots: number
  readonly #capacity: number
  readonly #vocabSize: number

  /** @throws RangeError for sizes that the model cannot have */
  constructor(manifest: Manifest, { slots, capacity }: StepLimitSizes) {
    checkCount('slots', slots, Number.MAX_SAFE_INTEGER)
    checkCount('capacity', capacity, manifest.maxPositions)
    this.#slots = slots
    this.#capacity = capacity
    this.#vocabSize = manifest.vocabSize
    this.maxLogits = maxLogitsRows(manifest.vocabSize, { slots, capacity })
  }

  /** @throws RangeError */
  checkPrefill(
    slot: number,
    pastLength: number,
    tokens: ArrayLike<number>,
    numLogits: number,
  ): void {
    this.#checkSlots(slot, 1)
    checkCount('the number of tokens', tokens.length, this.#capacity)
    checkCount('the number of logits', numLogits, Math.min(tokens.length, this.maxLogits))
    this.#checkTokens(tokens)
    this.#checkLength(pastLength, tokens.length)
  }

  /** @throws RangeError */
  checkDecode(firstSlot: number, tokens: ArrayLike<number>, lengths: ArrayLike<number>): void {
    this.#checkSlots(firstSlot, tokens.length)
    if (lengths.length !== tokens.length) {
      throw new RangeError(
        `${tokens.length} tokens and ${lengths.length} lengths: they must be as many`,
      )
    }
    this.#checkTokens(tokens)
    for (let row = 0; row < lengths.length; row++) this.#checkLength(lengths[row]!, 1)
  }

  /** @throws RangeError */
  checkCopy(from: number, to: number, length: number): void {
    this.#checkSlots(from, 1)
    this.#checkSlots(to, 1)
    this.#checkLength(length, 0)
  }

  #checkSlots(first: number, count: number): void {
    if (Number.isInteger(first) && first >= 0 && count > 0 && first + count <= this.#slots) return
    throw new RangeError(`there is no slot ${first} with ${count} in a row: ${this.#slots} exist`)
  }

  #checkTokens(tokens: ArrayLike<number>): void {
    for (let i = 0; i < tokens.length; i++) {
      const token = tokens[i]!
      if (Number.isInteger(token) && token >= 0 && token < this.#vocabSize) continue
      throw new RangeError(`token ${token} is not one of the model's, 0 to ${this.#vocabSize - 1}`)
    }
  }

  #checkLength(length: number, numTokens: number): void {
    const longest = this.#capacity - numTokens
    if (Number.isInteger(length) && length >= 0 && length <= longest) return
    throw new RangeError(
      `length ${length} and ${numTokens} new tokens do not fit a slot of ${this.#capacity}`,
    )
  }
}
