/**
 * Graphs bound to the memory of their inputs and outputs, once for each form of a step: which slots, how
 * many tokens. All forms share the same memory; a step writes its numbers there and runs what is bound.
 */
import type { Environment } from '../onnxruntime/environment.ts'
import { Tensor, type TensorData } from '../onnxruntime/tensor.ts'

/**
 * Forms kept at a time. One costs 4 values a layer, about 50 kB for 32 layers, and as much time to make as
 * a few operators: far less than the step it is for.
 */
export const maxForms = 64

/** Makes a tensor for a binding, which holds what it needs of it; the tensor itself lives until then only. */
export type MakeTensor = (data: TensorData, dims: readonly number[]) => Tensor

/** A binding, and what its owner wants to know beside. */
type Bound = { readonly binding: { close(): void } }

export class BoundForms<Form, B extends Bound> {
  readonly #environment: Environment
  readonly #bind: (form: Form, tensor: MakeTensor) => readonly B[]
  /** Least recently used first. */
  readonly #forms = new Map<string, readonly B[]>()

  /** @param bind the graphs that a step of this form runs, in order */
  constructor(environment: Environment, bind: (form: Form, tensor: MakeTensor) => readonly B[]) {
    this.#environment = environment
    this.#bind = bind
  }

  /**
   * @param key tells the form from every other one
   * @throws OrtError
   */
  of(key: string, form: Form): readonly B[] {
    const bound = this.#forms.get(key) ?? this.#make(form)
    this.#forms.delete(key)
    this.#forms.set(key, bound)
    const [oldest] = this.#forms
    if (this.#forms.size > maxForms && oldest !== undefined) {
      for (const { binding } of oldest[1]) binding.close()
      this.#forms.delete(oldest[0])
    }
    return bound
  }

  #make(form: Form): readonly B[] {
    const tensors: Tensor[] = []
    try {
      return this.#bind(form, (data, dims) => {
        const tensor = new Tensor(this.#environment, data, dims)
        tensors.push(tensor)
        return tensor
      })
    } finally {
      for (const tensor of tensors) tensor.close()
    }
  }
}
