/**
 * ONNX Runtime's environment: one in a process, counted, shared by all threads. Whoever creates it
 * first decides its thread pool; it goes when the last owner in the process closes.
 */
import { ortApi, type OrtApi, type Pointer } from './api.ts'
import { ClosedError } from './error.ts'
import { threadHandles, type HandleTable } from './handle-table.ts'

/** OrtLoggingLevel: failures come back as errors, ONNX Runtime itself stays silent up to fatal. */
export const fatalSeverity = 4

export type EnvironmentOptions = {
  /**
   * Threads of one pool for all sessions of the process, instead of a pool in each session: for
   * many sessions that run in turn. Every environment of the process must then say so.
   */
  readonly globalIntraOpNumThreads?: number
}

/** What lives inside an environment and must go before it. */
type Child = { close(): void }

export class Environment {
  readonly api: OrtApi
  /** Whether sessions share the environment's thread pool. */
  readonly hasGlobalThreadPool: boolean
  /** Where this thread notes what must be released should it die; null: nowhere. */
  readonly handles: HandleTable | null = threadHandles()
  readonly #children = new Set<Child>()
  #pointer: Pointer | null
  readonly #cpuMemory: Pointer
  readonly #forget: readonly ((() => void) | undefined)[]

  /** @throws when the library cannot be loaded, or OrtError */
  constructor(options: EnvironmentOptions = {}) {
    this.api = ortApi()
    this.hasGlobalThreadPool = options.globalIntraOpNumThreads !== undefined
    this.#pointer =
      options.globalIntraOpNumThreads === undefined
        ? this.api.createEnv(fatalSeverity, 'burrow')
        : this.#createWithPool(options.globalIntraOpNumThreads)
    // OrtArenaAllocator is 1, OrtDeviceAllocator 0: memory that we bring needs no arena.
    this.#cpuMemory = this.api.createCpuMemoryInfo(0, 0)
    this.#forget = [
      this.handles?.note('environment', this.#pointer),
      this.handles?.note('memoryInfo', this.#cpuMemory),
    ]
  }

  /** @throws ClosedError */
  get pointer(): Pointer {
    if (this.#pointer === null) throw new ClosedError('environment')
    return this.#pointer
  }

  /** The memory info of ordinary memory. @throws ClosedError */
  get cpuMemory(): Pointer {
    if (this.#pointer === null) throw new ClosedError('environment')
    return this.#cpuMemory
  }

  /** Makes `child` close before the environment does. */
  adopt(child: Child): void {
    this.#children.add(child)
  }

  /** `child` has closed. */
  disown(child: Child): void {
    this.#children.delete(child)
  }

  /** Closes the sessions made in it, then itself. Idempotent. */
  close(): void {
    if (this.#pointer === null) return
    for (const child of this.#children) child.close()
    for (const forget of this.#forget) forget?.()
    this.api.releaseMemoryInfo(this.#cpuMemory)
    this.api.releaseEnv(this.#pointer)
    this.#pointer = null
  }

  #createWithPool(numThreads: number): Pointer {
    const threading = this.api.createThreadingOptions()
    try {
      this.api.setGlobalIntraOpNumThreads(threading, numThreads)
      this.api.setGlobalInterOpNumThreads(threading, 1)
      return this.api.createEnvWithGlobalThreadPools(fatalSeverity, 'burrow', threading)
    } finally {
      this.api.releaseThreadingOptions(threading)
    }
  }
}
