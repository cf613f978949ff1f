/**
 * What threads hold of ONNX Runtime, noted in memory that they share. A thread that is ended from
 * outside, or runs out of memory, releases nothing itself: whoever comes after it does.
 */
import { getEnvironmentData, setEnvironmentData } from 'node:worker_threads'
import { ortApi, type OrtApi, type Pointer } from './api.ts'

/** In the order in which they must be released. */
const kinds = ['binding', 'session', 'memoryInfo', 'environment'] as const

export type HandleKind = (typeof kinds)[number]

/** Rows of the table; pages that none was written to cost nothing. */
const capacity = 1 << 16

/** A row is a word of kind and address: user space ends far below 2⁵⁶ on all platforms. */
const kindShift = 56n
const addressMask = (1n << kindShift) - 1n

const wordBytes = 8

/**
 * The table's memory, for {@link noteHandlesIn}: made by a thread that outlives those that note handles
 * there. It keeps the library loaded: with the last thread that uses it, the code would go that the
 * handles which are left need to be released.
 */
export const createHandleMemory = (): SharedArrayBuffer => {
  ortApi()
  return new SharedArrayBuffer(capacity * wordBytes)
}

/** Names the memory among what Node hands from a thread to those that it starts. */
const environmentKey = 'burrow: handles of ONNX Runtime'

/** From now on this thread, and all that it starts, note their handles there. */
export const noteHandlesIn = (memory: SharedArrayBuffer): void =>
  setEnvironmentData(environmentKey, memory)

/** The table of this thread; null: nobody would release what it left. */
export const threadHandles = (): HandleTable | null => {
  const memory = getEnvironmentData(environmentKey)
  return memory instanceof SharedArrayBuffer ? new HandleTable(memory) : null
}

export class HandleTable {
  /** 0: a free row. */
  readonly #rows: BigUint64Array<SharedArrayBuffer>
  #next = 0

  constructor(memory: SharedArrayBuffer) {
    this.#rows = new BigUint64Array(memory)
  }

  /** Handles noted and not forgotten. */
  get size(): number {
    return this.#rows.reduce((count, row) => (row === 0n ? count : count + 1), 0)
  }

  /**
   * Right after the handle was made.
   * @returns call it right before the handle is released: what were released twice would crash
   */
  note(kind: HandleKind, pointer: Pointer): () => void {
    const word = (BigInt(kinds.indexOf(kind)) << kindShift) | pointer
    for (let tries = 0; tries < capacity; tries++) {
      const row = this.#next
      this.#next = (row + 1) % capacity
      if (Atomics.compareExchange(this.#rows, row, 0n, word) === 0n) {
        return () => Atomics.store(this.#rows, row, 0n)
      }
    }
    // So many are a fraction of the memory that the sessions take: not worth failing for.
    return () => {}
  }

  /** Releases all handles. Every thread that noted them must have ended. @returns how many */
  releaseAll(api: OrtApi): number {
    const release: Record<HandleKind, (pointer: Pointer) => void> = {
      binding: api.releaseIoBinding,
      session: api.releaseSession,
      memoryInfo: api.releaseMemoryInfo,
      environment: api.releaseEnv,
    }
    let count = 0
    for (const [index, kind] of kinds.entries()) {
      for (let row = 0; row < capacity; row++) {
        const word = Atomics.load(this.#rows, row)
        if (word === 0n || word >> kindShift !== BigInt(index)) continue
        Atomics.store(this.#rows, row, 0n)
        release[kind](word & addressMask)
        count++
      }
    }
    return count
  }
}
