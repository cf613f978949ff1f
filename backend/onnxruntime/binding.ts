/** Tensors bound to the inputs and outputs of a session: the cheapest way to run it many times. */
import type { OrtApi, Pointer } from './api.ts'
import { ClosedError } from './error.ts'
import type { HandleTable } from './handle-table.ts'
import type { Tensor, TensorData } from './tensor.ts'

/** What a binding needs of the session that makes it. */
type Bindable = {
  readonly inputNames: readonly string[]
  readonly outputNames: readonly string[]
  readonly pointer: Pointer
  readonly handles: HandleTable | null
}

export type BoundTensors = Readonly<Record<string, Tensor>>

const checkNames = (what: string, known: readonly string[], bound: readonly string[]): void => {
  const unknown = bound.find((name) => !known.includes(name))
  if (unknown === undefined) return
  throw new TypeError(`the model has no ${what} '${unknown}'; it has ${known.join(', ')}`)
}

export class Binding {
  readonly #api: OrtApi
  readonly #session: Bindable
  readonly #closed: () => void
  /** ONNX Runtime only borrows the memory: this keeps it from the garbage collector. */
  #memory: readonly TensorData[]
  readonly #forget: (() => void) | undefined
  #pointer: Pointer | null

  /** Made by {@link Session.bind}. */
  constructor(
    api: OrtApi,
    session: Bindable,
    inputs: BoundTensors,
    outputs: BoundTensors,
    closed: () => void,
  ) {
    const bound = Object.keys(inputs)
    checkNames('input', session.inputNames, bound)
    checkNames('output', session.outputNames, Object.keys(outputs))
    // ONNX Runtime runs without a missing input, and the first operator that wants it reads null.
    const missing = session.inputNames.filter((name) => !Object.hasOwn(inputs, name))
    if (missing.length > 0) throw new TypeError(`no tensor for input ${missing.join(', ')}`)
    this.#api = api
    this.#session = session
    this.#closed = closed
    this.#memory = [...Object.values(inputs), ...Object.values(outputs)]
      .map(({ data }) => data)
      .filter((data) => data.length > 0)
    this.#pointer = api.createIoBinding(session.pointer)
    try {
      for (const [name, tensor] of Object.entries(inputs)) {
        api.bindInput(this.#pointer, name, tensor.pointer)
      }
      for (const [name, tensor] of Object.entries(outputs)) {
        api.bindOutput(this.#pointer, name, tensor.pointer)
      }
    } catch (error) {
      api.releaseIoBinding(this.#pointer)
      throw error
    }
    this.#forget = session.handles?.note('binding', this.#pointer)
  }

  /**
   * Runs the model on what the bound memory holds now; the bound outputs are written in place.
   * Takes the thread until it is done, 1 to 12 µs over the model's own time.
   * @throws OrtError, e.g. for dims that do not fit the model; ClosedError
   */
  run(): void {
    if (this.#pointer === null) throw new ClosedError('binding')
    for (const data of this.#memory) {
      if (data.length === 0) throw new TypeError('a bound tensor has lost its memory by a transfer')
    }
    this.#api.runWithBinding(this.#session.pointer, null, this.#pointer)
  }

  /** Idempotent. */
  close(): void {
    if (this.#pointer === null) return
    this.#forget?.()
    this.#api.releaseIoBinding(this.#pointer)
    this.#pointer = null
    this.#memory = []
    this.#closed()
  }
}
