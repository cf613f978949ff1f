/**
 * Decides what the next step computes: which sequences decode, which prompts are computed and how much
 * of them. Pure bookkeeping over integers: no tensors, no text.
 *
 * Continuous batching with chunked prefill, as in vLLM's scheduler, but with one run for all decoding
 * sequences and one for each chunk of a prompt, since a run has one shape. Each step has a budget of
 * tokens. Decoding takes its share first; of the rest the shortest prompt comes first, and a quarter is
 * kept for the prompt that came first: a short prompt does not wait behind a long one, nor a long one
 * for ever.
 */
import { CacheSlots, type SlotRows } from './cache-slots.ts'
import { tokensLeft, type ScheduledSequence } from './scheduled-sequence.ts'
import { WaitingQueue } from './waiting-queue.ts'

export type SchedulerLimits = {
  /** Slots of the KV cache; those that no sequence needs cache prefixes. At least `maxNumSeqs`. */
  readonly numSlots: number
  /** Sequences that have a slot at the same time. */
  readonly maxNumSeqs: number
  /**
   * Tokens that a step computes at most, so that decoding sequences never wait long; those whose logits are
   * wanted count twice. More than `maxNumSeqs`, since each of those may decode one.
   */
  readonly maxNumBatchedTokens: number
}

/** A run of the model over a part of one sequence. */
export type Prefill<S> = {
  readonly sequence: S
  readonly slot: number
  /** Tokens to compute now, from `sequence.cachedTokens` on. */
  readonly numTokens: number
}

export type SchedulerStats = {
  readonly running: number
  readonly waiting: number
  /** Tokens that were looked up in the prefix cache, once for each sequence. */
  readonly prefixCacheQueries: number
  /** Those of them that were found. */
  readonly prefixCacheHits: number
  readonly preemptions: number
}

/** Part of a step's prefill that is kept for the prompt that came first. */
const eldestShare = 1 / 4

type Entry<S> = {
  readonly sequence: S
  readonly priority: number
  readonly arrival: number
  wasAdmitted: boolean
  /** It waited so long that it may keep its slot. */
  isProtected: boolean
}

export class Scheduler<S extends ScheduledSequence> {
  readonly #limits: SchedulerLimits
  readonly #slots: CacheSlots<S>
  readonly #waiting = new WaitingQueue<Entry<S>>()
  /** In slots, whether in prefill or decoding. */
  readonly #running = new Map<S, Entry<S>>()
  readonly #parked = new Map<S, Entry<S>>()
  #arrivals = 0
  #budget = 0
  #share = 0
  /** Had their chunk in this step: one run a step for each. */
  readonly #served = new Set<Entry<S>>()
  #prefixCacheQueries = 0
  #prefixCacheHits = 0
  #preemptions = 0

  /** @param rows carries out the moves of cached rows, before the call that needs them returns */
  constructor(limits: SchedulerLimits, rows: SlotRows) {
    this.#limits = limits
    this.#slots = new CacheSlots(limits.numSlots, rows)
  }

  stats(): SchedulerStats {
    return {
      running: this.#running.size,
      waiting: this.#waiting.length,
      prefixCacheQueries: this.#prefixCacheQueries,
      prefixCacheHits: this.#prefixCacheHits,
      preemptions: this.#preemptions,
    }
  }

  add(sequence: S): void {
    this.#wait({
      sequence,
      priority: sequence.priority,
      arrival: this.#arrivals++,
      wasAdmitted: false,
      isProtected: false,
    })
  }

  /** @returns the sequences that decode in this step; index = slot */
  beginStep(): readonly S[] {
    const decoding = this.#slots.decoding
    this.#budget = this.#limits.maxNumBatchedTokens - decoding.length
    this.#share = Math.ceil(this.#budget * eldestShare)
    this.#served.clear()
    return decoding
  }

  /** Whether a step from now would have a chunk of a prompt to compute. */
  get hasPrefill(): boolean {
    return this.#candidates().length > 0
  }

  /**
   * The next chunk to compute in this step; null when the budget is used up or nothing is left to do.
   * The caller runs it and raises `cachedTokens` before it asks again.
   */
  nextPrefill(): Prefill<S> | null {
    const candidates = this.#candidates().filter((entry) => !this.#served.has(entry))
    const eldest = first(candidates, (a, b) => a.arrival - b.arrival)
    const best = first(candidates, byPriorityAndLength)
    if (this.#budget <= 0 || eldest === null || best === null) return null
    const kept = eldest === best ? 0 : Math.min(costOf(eldest.sequence), this.#share)
    const forBest = this.#budget - kept
    const entry = forBest > 0 ? best : eldest
    const { sequence } = entry
    if (!this.#running.has(sequence)) this.#admit(entry)
    const numTokens = affordable(sequence, forBest > 0 ? forBest : this.#budget)
    this.#budget -= costOf(sequence, numTokens)
    this.#served.add(entry)
    return { sequence, slot: this.#slots.slotOf(sequence), numTokens }
  }

  /** All of the sequence is computed: it decodes from the next step on. */
  startDecoding(sequence: S): void {
    this.#slots.startDecoding(sequence)
  }

  /**
   * Forgets the sequence wherever it is.
   * @param keepRows whether what it computed may serve others: not after logits that are no numbers
   */
  remove(sequence: S, { keepRows }: { readonly keepRows: boolean }): void {
    const waiting = this.#parked.get(sequence)
    if (waiting) {
      this.#parked.delete(sequence)
      this.#waiting.remove(waiting)
    }
    if (this.#running.delete(sequence)) this.#slots.release(sequence, { keep: keepRows })
  }

  /** Those that a chunk could be computed for now: in prefill, or waiting with a place to go to. */
  #candidates(): Entry<S>[] {
    const running = [...this.#running.values()].filter(
      ({ sequence }) => !this.#slots.isDecoding(sequence),
    )
    const places = this.#limits.maxNumSeqs - this.#running.size
    const { head } = this.#waiting
    const canPreempt = places === 0 && head !== undefined && this.#victimOf(head) !== null
    const waiting = canPreempt ? [head] : this.#waiting.next(places)
    return [...running, ...waiting]
  }

  #admit(entry: Entry<S>): void {
    const { sequence } = entry
    if (this.#running.size === this.#limits.maxNumSeqs) this.#preemptFor(entry)
    if (this.#waiting.take(entry)) entry.isProtected = true
    this.#parked.delete(sequence)
    this.#running.set(sequence, entry)
    this.#slots.admit(sequence)
    // One that was preempted finds its own rows: no merit of the cache.
    if (entry.wasAdmitted) return
    entry.wasAdmitted = true
    this.#prefixCacheQueries += Math.min(sequence.tokens.length, sequence.reusableTokens)
    this.#prefixCacheHits += sequence.cachedTokens
  }

  /** The victim keeps its tokens; its rows stay in the prefix cache for as long as they can. */
  #preemptFor(entry: Entry<S>): void {
    const victim = this.#victimOf(entry)
    if (victim === null) throw new Error('there is nothing to preempt')
    this.#running.delete(victim.sequence)
    this.#slots.release(victim.sequence, { keep: true })
    victim.sequence.cachedTokens = 0
    this.#preemptions++
    this.#wait(victim)
  }

  /** The least important of those below the given one, and of these the youngest. */
  #victimOf({ priority }: Entry<S>): Entry<S> | null {
    const below = [...this.#running.values()].filter(
      (running) => running.priority > priority && !running.isProtected,
    )
    return first(below, (a, b) => b.priority - a.priority || b.arrival - a.arrival)
  }

  #wait(entry: Entry<S>): void {
    this.#parked.set(entry.sequence, entry)
    this.#waiting.add(entry)
  }
}

/**
 * What a token counts of the budget whose logits are wanted. In a model of 135 M parameters with a vocabulary
 * of 49,152, 256 of them take 1.5 times as long as others.
 */
const scoredTokenCost = 2

/** Of the tokens left, the first that cost one each. */
const plainTokensLeft = (sequence: ScheduledSequence): number =>
  Math.max(0, Math.min(sequence.reusableTokens - sequence.cachedTokens, tokensLeft(sequence)))

/** What the next tokens take of the budget. @param numTokens all that are left unless given */
const costOf = (sequence: ScheduledSequence, numTokens = tokensLeft(sequence)): number => {
  const numPlain = Math.min(numTokens, plainTokensLeft(sequence))
  return numPlain + (numTokens - numPlain) * scoredTokenCost
}

/** So many of the next tokens the budget has room for; one in any case. */
const affordable = (sequence: ScheduledSequence, budget: number): number => {
  const numPlain = plainTokensLeft(sequence)
  if (budget <= numPlain) return budget
  const numScored = Math.floor((budget - numPlain) / scoredTokenCost)
  return Math.min(tokensLeft(sequence), Math.max(1, numPlain + numScored))
}

const byPriorityAndLength = <S extends ScheduledSequence>(a: Entry<S>, b: Entry<S>): number =>
  a.priority - b.priority ||
  tokensLeft(a.sequence) - tokensLeft(b.sequence) ||
  a.arrival - b.arrival

/** The element that comes first in the given order; null of none. */
const first = <T>(elements: readonly T[], compare: (a: T, b: T) => number): T | null => {
  let best: T | null = null
  for (const element of elements) {
    if (best === null || compare(element, best) < 0) best = element
  }
  return best
}
