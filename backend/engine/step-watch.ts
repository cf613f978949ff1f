/**
 * Notices a step that does not end. The engine's thread marks in shared memory when it begins and ends one;
 * the HTTP thread looks now and then, since a thread that is stuck says nothing by itself.
 */

/** For both threads. */
export const createStepMarks = (): SharedArrayBuffer => new SharedArrayBuffer(4)

/** The engine thread's side: the count is odd during a step. */
export class StepMarks {
  readonly #count: Int32Array

  constructor(memory: SharedArrayBuffer) {
    this.#count = new Int32Array(memory)
  }

  /** A step begins, or the one that began last has ended. */
  next(): void {
    Atomics.add(this.#count, 0, 1)
  }
}

/**
 * Looks within the time that a step may take. Not a clock: a machine that slept, or a thread that did not
 * come to look, is no reason.
 */
const looks = 10

/** Longer timers fire at once. */
const longestTimerMs = 2 ** 31 - 1

export class StepWatch {
  readonly #count: Int32Array
  readonly #onStuck: () => void
  readonly #timer: NodeJS.Timeout
  #last = 0
  /** Looks in a row that have found the same step. */
  #sameLooks = 0

  /** @param onStuck called once, when a step has taken `timeoutMs` */
  constructor(memory: SharedArrayBuffer, timeoutMs: number, onStuck: () => void) {
    this.#count = new Int32Array(memory)
    this.#onStuck = onStuck
    const intervalMs = Math.min(longestTimerMs, timeoutMs / looks)
    this.#timer = setInterval(() => this.look(), intervalMs).unref()
  }

  look(): void {
    const count = Atomics.load(this.#count, 0)
    const isSame = count % 2 !== 0 && count === this.#last
    this.#sameLooks = isSame ? this.#sameLooks + 1 : 0
    this.#last = count
    if (this.#sameLooks < looks) return
    this.close()
    this.#onStuck()
  }

  /** Idempotent. */
  close(): void {
    clearInterval(this.#timer)
  }
}
