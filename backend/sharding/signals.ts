/**
 * How the threads of a sharded model wait for each other: counters in shared memory, changed and awaited
 * by Atomics alone, so that a step costs no message. Whoever fails aborts, and all who wait fail too.
 */

/** What the counters are kept in; every thread makes its own {@link Signals} of it. */
export type SignalMemory = {
  readonly counters: SharedArrayBuffer
  readonly failure: SharedArrayBuffer
}

/**
 * Counters of their own cache line each: 16 int32 are 64 bytes. Those that count what was done only rise,
 * and wrap around; a wait is over when the difference to its target is not negative.
 */
const stride = 16
const general = { claimed: 0, aborted: 1, failureLength: 2, command: 3, beats: 4 } as const
const ofStage = { done: 0, arrived: 1, generation: 2 } as const
const numGeneral = Object.keys(general).length
const numOfStage = Object.keys(ofStage).length

/** What commands, their completion and micro-batches are counted from: the wrap comes at once, not after months. */
export const firstCount = 2 ** 31 - 100

const maxFailureBytes = 2048

/** A notification may come just before the wait for it: who waits looks again after this long. */
const lookAgainMs = 500

/** The supervisor beats this often, ms. */
export const beatMs = 500

/**
 * Looks in a row without a beat in between after which the supervisor counts as dead: half a minute in
 * which this thread ran and that one did not. Not a time: a machine that slept is no reason.
 */
const maxSilentLooks = 60

export const signalMemory = (numStages: number, numRanks: number): SignalMemory => {
  const numCounters = numGeneral + numStages * numOfStage + numRanks
  const counters = new Int32Array(new SharedArrayBuffer(numCounters * stride * 4))
  counters[generalWord('command')] = firstCount
  for (let stage = 0; stage < numStages; stage++) counters[stageWord(stage, 'done')] = firstCount
  for (let rank = 0; rank < numRanks; rank++) {
    counters[rankWord(counters, rank, numRanks)] = firstCount
  }
  return { counters: counters.buffer, failure: new SharedArrayBuffer(maxFailureBytes) }
}

/** A thread has failed, and with it the model. */
export class AbortedError extends Error {
  override readonly name = 'AbortedError'
}

const stageWord = (stage: number, counter: keyof typeof ofStage): number =>
  (numGeneral + stage * numOfStage + ofStage[counter]) * stride

/** The last words are the ranks' own. */
const rankWord = (counters: Int32Array, rank: number, numRanks: number): number =>
  counters.length - (numRanks - rank) * stride

/** Both may have wrapped around. */
const hasReached = (value: number, target: number): boolean => ((value - target) | 0) >= 0

const generalWord = (counter: keyof typeof general): number => general[counter] * stride

export class Signals {
  readonly #counters: Int32Array<SharedArrayBuffer>
  readonly #failure: Uint8Array<SharedArrayBuffer>
  readonly #numRanks: number
  readonly #spins: number
  #lastBeats = -1
  #silentLooks = 0

  /**
   * @param spins how often a counter is looked at before the thread goes to sleep, which costs about 25 µs
   * to wake from; 0 where there are more threads than cores
   */
  constructor(memory: SignalMemory, numRanks: number, spins: number) {
    this.#numRanks = numRanks
    this.#counters = new Int32Array(memory.counters)
    this.#failure = new Uint8Array(memory.failure)
    this.#spins = spins
  }

  /** The number of the command given last; {@link firstCount}: none was. */
  get command(): number {
    return Atomics.load(this.#counters, generalWord('command'))
  }

  /** Why the first thread has failed; null while none has. */
  get failure(): AbortedError | null {
    if (Atomics.load(this.#counters, generalWord('aborted')) === 0) return null
    const length = Atomics.load(this.#counters, generalWord('failureLength'))
    // Text is decoded from memory that nobody shares.
    const reason = new TextDecoder().decode(this.#failure.slice(0, length))
    return new AbortedError(`a part of the model has failed: ${reason}`)
  }

  /** @throws AbortedError once a thread has failed, with the first one's reason */
  check(): void {
    const { failure } = this
    if (failure !== null) throw failure
  }

  /** Makes every thread that waits fail with this reason. The first reason stays. */
  abort(reason: string): void {
    if (Atomics.compareExchange(this.#counters, generalWord('claimed'), 0, 1) !== 0) return
    const bytes = new TextEncoder().encode(reason).subarray(0, maxFailureBytes)
    this.#failure.set(bytes)
    Atomics.store(this.#counters, generalWord('failureLength'), bytes.length)
    Atomics.store(this.#counters, generalWord('aborted'), 1)
    for (let word = 0; word < this.#counters.length; word += stride) {
      Atomics.notify(this.#counters, word)
    }
  }

  /** Gives all ranks the next command. */
  give(): void {
    this.#raise(generalWord('command'))
  }

  /** Returns when the command of this number is given. @throws AbortedError */
  waitForCommand(number: number): void {
    this.#waitFor(generalWord('command'), number)
  }

  /** The calling rank is loaded or, each time after that, has done its next command. */
  complete(rank: number): void {
    this.#raise(rankWord(this.#counters, rank, this.#numRanks))
  }

  /** Whether the rank has done the command of this number. */
  hasCompleted(rank: number, number: number): boolean {
    const word = rankWord(this.#counters, rank, this.#numRanks)
    return hasReached(Atomics.load(this.#counters, word), number + 1)
  }

  /**
   * Returns when the rank is loaded, and has done the commands up to this number.
   * @throws AbortedError, also when nobody is left who would notice that a rank has died
   */
  waitForCompleted(rank: number, number: number): void {
    const word = rankWord(this.#counters, rank, this.#numRanks)
    this.#wait(
      word,
      (value) => hasReached(value, number + 1),
      () => this.#listen(),
    )
  }

  /** The supervisor is alive. */
  beat(): void {
    Atomics.add(this.#counters, generalWord('beats'), 1)
  }

  /** A look has found nothing new: aborts when there were no beats either for many of them. */
  #listen(): void {
    const beats = Atomics.load(this.#counters, generalWord('beats'))
    this.#silentLooks = beats === this.#lastBeats ? this.#silentLooks + 1 : 0
    this.#lastBeats = beats
    if (this.#silentLooks < maxSilentLooks) return
    this.abort('the thread that supervises the ranks has ended')
  }

  /** The stage's output of one more micro-batch is there. */
  finishMicroBatch(stage: number): void {
    this.#raise(stageWord(stage, 'done'))
  }

  /**
   * Returns when the stage's output of so many micro-batches is there, counted from {@link firstCount} on
   * over all commands.
   * @throws AbortedError
   */
  waitForMicroBatches(stage: number, numMicroBatches: number): void {
    this.#waitFor(stageWord(stage, 'done'), numMicroBatches)
  }

  /** Returns when all ranks of the stage have come here. @throws AbortedError */
  meet(stage: number, numRanks: number): void {
    const arrived = stageWord(stage, 'arrived')
    const generation = stageWord(stage, 'generation')
    const mine = Atomics.load(this.#counters, generation)
    if (Atomics.add(this.#counters, arrived, 1) === numRanks - 1) {
      Atomics.store(this.#counters, arrived, 0)
      this.#raise(generation)
    } else {
      this.#wait(generation, (now) => now !== mine)
    }
  }

  #raise(word: number): void {
    Atomics.add(this.#counters, word, 1)
    Atomics.notify(this.#counters, word)
  }

  #waitFor(word: number, target: number): void {
    this.#wait(word, (value) => hasReached(value, target))
  }

  #wait(word: number, isOver: (value: number) => boolean, onSilence = () => {}): void {
    for (let spin = 0; spin < this.#spins; spin++) {
      if (isOver(Atomics.load(this.#counters, word))) return
    }
    for (;;) {
      const value = Atomics.load(this.#counters, word)
      if (isOver(value)) return
      this.check()
      if (Atomics.wait(this.#counters, word, value, lookAgainMs) === 'timed-out') onSilence()
    }
  }
}
