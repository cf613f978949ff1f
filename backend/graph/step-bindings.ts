/** The memory that a whole model's steps read and write, and its graph bound to it for each form of them. */
import type { Binding } from '../onnxruntime/binding.ts'
import type { Environment } from '../onnxruntime/environment.ts'
import type { Session } from '../onnxruntime/session.ts'
import type { Tensor } from '../onnxruntime/tensor.ts'
import { cacheNames } from './attention.ts'
import { BoundForms, type MakeTensor } from './bound-forms.ts'
import type { KvCache } from './kv-cache.ts'

/**
 * Rows of a step are the slots from `firstSlot` on; each has `numTokens` new tokens. Of all of these
 * `numLogits` have their logits wanted.
 */
export type StepForm = {
  readonly firstSlot: number
  readonly numRows: number
  readonly numTokens: number
  readonly numLogits: number
}

export type StepSizes = {
  readonly maxRows: number
  /** New tokens in all rows of a step together. */
  readonly maxTokens: number
  readonly maxLogits: number
  readonly vocabSize: number
}

export class StepBindings {
  /** The step's tokens, row by row; in use are the first rows · tokens. */
  readonly inputIds: BigInt64Array
  /** Each row's length after the step, less one. */
  readonly lastPositions: Int32Array
  /** The longest row's length after the step. */
  readonly totalLength = new Int32Array(1)
  /** Index of each token whose logits are wanted. */
  readonly logitsRows: BigInt64Array
  /** [numLogits, vocabSize] */
  readonly logits: Float32Array

  readonly #session: Session
  readonly #cache: KvCache
  readonly #vocabSize: number
  readonly #forms: BoundForms<StepForm, { readonly binding: Binding }>

  constructor(environment: Environment, session: Session, cache: KvCache, sizes: StepSizes) {
    this.#session = session
    this.#cache = cache
    this.#vocabSize = sizes.vocabSize
    this.inputIds = new BigInt64Array(sizes.maxTokens)
    this.lastPositions = new Int32Array(sizes.maxRows)
    this.logitsRows = new BigInt64Array(sizes.maxLogits)
    this.logits = new Float32Array(sizes.maxLogits * sizes.vocabSize)
    this.#forms = new BoundForms(environment, (form, tensor) => [
      { binding: this.#bind(form, tensor) },
    ])
  }

  /** @throws OrtError */
  run(form: StepForm): void {
    const key = `${form.firstSlot} ${form.numRows} ${form.numTokens} ${form.numLogits}`
    for (const { binding } of this.#forms.of(key, form)) binding.run()
  }

  #bind({ firstSlot, numRows, numTokens, numLogits }: StepForm, tensor: MakeTensor): Binding {
    const vocabSize = this.#vocabSize
    const inputs: Record<string, Tensor> = {
      input_ids: tensor(this.inputIds.subarray(0, numRows * numTokens), [numRows, numTokens]),
      seqlens_k: tensor(this.lastPositions.subarray(0, numRows), [numRows]),
      total_sequence_length: tensor(this.totalLength, [1]),
      logits_rows: tensor(this.logitsRows.subarray(0, numLogits), [numLogits]),
    }
    const outputs: Record<string, Tensor> = {
      logits: tensor(this.logits.subarray(0, numLogits * vocabSize), [numLogits, vocabSize]),
    }
    for (const [layer, { keys, values, dims }] of this.#cache.rows(firstSlot, numRows).entries()) {
      const { past, present } = cacheNames(layer)
      // The same tensor as input and output: the operator sees it and writes in place.
      inputs[past.key] = outputs[present.key] = tensor(keys, dims)
      inputs[past.value] = outputs[present.value] = tensor(values, dims)
    }
    return this.#session.bind(inputs, outputs)
  }
}
