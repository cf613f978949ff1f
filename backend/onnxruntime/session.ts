/** A loaded model. */
import type { OrtApi, Pointer } from './api.ts'
import { Binding, type BoundTensors } from './binding.ts'
import { fatalSeverity, type Environment } from './environment.ts'
import { ClosedError } from './error.ts'
import type { HandleTable } from './handle-table.ts'

/** GraphOptimizationLevel. */
const optimizationLevels = { none: 0, basic: 1, extended: 2, all: 99 } as const

export type SessionOptions = {
  /** Threads that share one operator's work; left out where the environment has a global pool. */
  readonly intraOpNumThreads?: number
  /** Default `all`. */
  readonly graphOptimization?: keyof typeof optimizationLevels
  /**
   * Whether memory between two runs is kept for the next; default: it is. Sessions that run one after the
   * other would each keep what only one of them needs at a time.
   */
  readonly hasArena?: boolean
  /** onnxruntime_session_options_config_keys.h, e.g. `session.disable_prepacking`. */
  readonly config?: Readonly<Record<string, string>>
}

const createOptions = (environment: Environment, options: SessionOptions): Pointer => {
  const { api } = environment
  const pointer = api.createSessionOptions()
  try {
    api.setSessionLogSeverityLevel(pointer, fatalSeverity)
    api.setSessionGraphOptimizationLevel(
      pointer,
      optimizationLevels[options.graphOptimization ?? 'all'],
    )
    if (options.hasArena === false) api.disableCpuMemArena(pointer)
    if (environment.hasGlobalThreadPool) api.disablePerSessionThreads(pointer)
    if (options.intraOpNumThreads !== undefined) {
      api.setIntraOpNumThreads(pointer, options.intraOpNumThreads)
    }
    for (const [key, value] of Object.entries(options.config ?? {})) {
      api.addSessionConfigEntry(pointer, key, value)
    }
    return pointer
  } catch (error) {
    api.releaseSessionOptions(pointer)
    throw error
  }
}

type NameOf = (session: Pointer, index: number, allocator: Pointer) => Pointer

const readNames = (api: OrtApi, session: Pointer, count: bigint, nameOf: NameOf): string[] => {
  const allocator = api.getAllocatorWithDefaultOptions()
  return Array.from({ length: Number(count) }, (_, index) => {
    const name = nameOf(session, index, allocator)
    try {
      return api.readString(name)
    } finally {
      api.allocatorFree(allocator, name)
    }
  })
}

export class Session {
  readonly inputNames: readonly string[]
  readonly outputNames: readonly string[]
  readonly #environment: Environment
  readonly #bindings = new Set<Binding>()
  readonly #forget: (() => void) | undefined
  #pointer: Pointer | null

  /**
   * Loads a model from its file, which takes as long as reading and arranging its weights does.
   * @throws OrtError when the file is missing, is no ONNX model, or is one that cannot run
   */
  constructor(environment: Environment, path: string, options: SessionOptions = {}) {
    const { api } = environment
    if (environment.hasGlobalThreadPool && options.intraOpNumThreads !== undefined) {
      throw new TypeError('intraOpNumThreads has no meaning beside a global thread pool')
    }
    const optionsPointer = createOptions(environment, options)
    try {
      this.#pointer = api.createSession(environment.pointer, path, optionsPointer)
    } finally {
      api.releaseSessionOptions(optionsPointer)
    }
    this.#environment = environment
    this.#forget = environment.handles?.note('session', this.#pointer)
    const numInputs = api.sessionGetInputCount(this.#pointer)
    const numOutputs = api.sessionGetOutputCount(this.#pointer)
    this.inputNames = readNames(api, this.#pointer, numInputs, api.sessionGetInputName)
    this.outputNames = readNames(api, this.#pointer, numOutputs, api.sessionGetOutputName)
    environment.adopt(this)
  }

  /** @throws ClosedError */
  get pointer(): Pointer {
    if (this.#pointer === null) throw new ClosedError('session')
    return this.#pointer
  }

  /** Where its bindings are noted; see {@link Environment.handles}. */
  get handles(): HandleTable | null {
    return this.#environment.handles
  }

  /**
   * Binds a tensor to every input and to the outputs that are wanted.
   * @throws TypeError for a name that the model does not have or an input left out
   */
  bind(inputs: BoundTensors, outputs: BoundTensors): Binding {
    const binding = new Binding(this.#environment.api, this, inputs, outputs, () =>
      this.#bindings.delete(binding),
    )
    this.#bindings.add(binding)
    return binding
  }

  /** Closes its bindings, then itself. Idempotent. */
  close(): void {
    if (this.#pointer === null) return
    for (const binding of this.#bindings) binding.close()
    this.#forget?.()
    this.#environment.api.releaseSession(this.#pointer)
    this.#pointer = null
    this.#environment.disown(this)
  }
}
