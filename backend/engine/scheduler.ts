/**
 * Decides what the next step computes and which cache slot each sequence has. Pure bookkeeping: no
 * tensors, no text.
 *
 * Decoding sequences lie in slots 0 … n−1 without holes, so that one decode run covers a contiguous
 * range. At most one sequence at a time is in prefill, in a slot above them; it moves down to slot n
 * when its prompt is done. First come, first served.
 */
import type { Sequence } from './sequence.ts'

/** A move of a sequence's cached tokens between slots. */
export type SlotMove = { readonly from: number; readonly to: number; readonly tokens: number }

export type Prefill = {
  readonly sequence: Sequence
  readonly slot: number
  /** Tokens of the prompt to compute now, from `sequence.cachedTokens` on. */
  readonly numTokens: number
}

export type SchedulerLimits = {
  /** Sequences that have a slot at the same time. */
  readonly maxNumSeqs: number
  /** Prompt tokens a step computes at most, so that decoding sequences never wait long. */
  readonly maxPrefillTokens: number
}

export class Scheduler {
  readonly #limits: SchedulerLimits
  readonly #waiting: Sequence[] = []
  /** Index = slot. */
  readonly #decoding: Sequence[] = []
  #prefilling: { readonly sequence: Sequence; readonly slot: number } | null = null

  constructor(limits: SchedulerLimits) {
    this.#limits = limits
  }

  get numRunning(): number {
    return this.#decoding.length + (this.#prefilling === null ? 0 : 1)
  }

  get numWaiting(): number {
    return this.#waiting.length
  }

  /** Sequences that decode in this step; index = slot. */
  get decoding(): readonly Sequence[] {
    return this.#decoding
  }

  add(sequence: Sequence): void {
    this.#waiting.push(sequence)
  }

  /** The chunk of prefill for this step, or null when no prompt is to be computed or no slot is free. */
  nextPrefill(): Prefill | null {
    if (this.#prefilling === null && this.#decoding.length < this.#limits.maxNumSeqs) {
      const sequence = this.#waiting.shift()
      if (sequence) this.#prefilling = { sequence, slot: this.#decoding.length }
    }
    if (this.#prefilling === null) return null
    const { sequence, slot } = this.#prefilling
    const numTokens = Math.min(sequence.prefillTokensLeft, this.#limits.maxPrefillTokens)
    return { sequence, slot, numTokens }
  }

  /** The prompt is computed: the sequence joins the decoding ones, after the returned move if any. */
  promote(): SlotMove | null {
    if (this.#prefilling === null) throw new Error('no sequence is in prefill')
    const { sequence, slot } = this.#prefilling
    const to = this.#decoding.length
    this.#prefilling = null
    this.#decoding.push(sequence)
    return slot === to ? null : { from: slot, to, tokens: sequence.cachedTokens }
  }

  /** Forgets the sequence wherever it is; the last decoding one fills its hole by the returned move. */
  remove(sequence: Sequence): SlotMove | null {
    if (this.#prefilling?.sequence === sequence) {
      this.#prefilling = null
      return null
    }
    const slot = this.#decoding.indexOf(sequence)
    if (slot === -1) {
      const index = this.#waiting.indexOf(sequence)
      if (index !== -1) this.#waiting.splice(index, 1)
      return null
    }
    const last = this.#decoding.pop()
    if (last === undefined || last === sequence) return null
    this.#decoding[slot] = last
    return { from: this.#decoding.length, to: slot, tokens: last.cachedTokens }
  }
}
