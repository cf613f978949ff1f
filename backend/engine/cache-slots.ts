/**
 * The cache manager: which slot of the KV cache holds what. Pure bookkeeping over integers; rows move
 * through {@link SlotRows}.
 *
 * Decoding sequences lie in slots 0 … n−1 without holes, so that one decode run covers a contiguous
 * range. Above them lie sequences in prefill and, in any order, free slots. A free slot keeps the rows
 * of the sequence that was there last: they are the prefix cache, evicted least recently used first.
 */
import type { ScheduledSequence } from './scheduled-sequence.ts'

/** The cache's memory: the decoder, or a model of it in tests. */
export type SlotRows = {
  /** Copies the first `length` positions. */
  copySlot(from: number, to: number, length: number): void
  /** Exchanges the first `length` positions. */
  swapSlots(a: number, b: number, length: number): void
}

type TakenSlot<S> = { readonly state: 'taken'; readonly sequence: S }
type FreeSlot = {
  readonly state: 'free'
  /** Of the sequence that was here; the first `numTokens` of them are in the slot. */
  readonly tokens: readonly number[]
  readonly numTokens: number
  readonly cacheSalt: string
  readonly lastUsed: number
}
type Slot<S> = TakenSlot<S> | FreeSlot

type Match = {
  readonly slot: number
  readonly numTokens: number
  /** The slot is free, and all that it holds is a beginning of the new sequence. */
  readonly isWhole: boolean
}

export class CacheSlots<S extends ScheduledSequence> {
  readonly #rows: SlotRows
  readonly #slots: Slot<S>[]
  readonly #slotOf = new Map<S, number>()
  #numDecoding = 0
  /** Counts admissions and releases: the time of "least recently used". */
  #now = 0

  constructor(numSlots: number, rows: SlotRows) {
    this.#rows = rows
    this.#slots = Array.from({ length: numSlots }, () => emptySlot)
  }

  /** Sequences that decode; index = slot. */
  get decoding(): S[] {
    return this.#slots
      .slice(0, this.#numDecoding)
      .flatMap((slot) => (slot.state === 'taken' ? [slot.sequence] : []))
  }

  isDecoding(sequence: S): boolean {
    return this.slotOf(sequence) < this.#numDecoding
  }

  /** @throws Error for a sequence that has no slot */
  slotOf(sequence: S): number {
    const slot = this.#slotOf.get(sequence)
    if (slot === undefined) throw new Error('the sequence has no slot')
    return slot
  }

  /**
   * Gives the sequence the lowest free slot, where it will decode if all goes well, with the longest
   * beginning of it that is in the cache, under its own salt; `sequence.cachedTokens` says how long.
   * The last token is always left to compute, since it is its logits that are wanted.
   * @throws Error when every slot is taken
   */
  admit(sequence: S): void {
    const target = this.#slots.findIndex(({ state }) => state === 'free')
    if (target === -1) throw new Error('every slot is taken')
    const match = this.#longestMatch(sequence)
    const evicted = this.#slotToFill()
    let source = match?.slot ?? target
    if (match && (match.isWhole || match.slot === evicted)) {
      // Nothing is lost if the sequence takes these rows over, or nothing that was to be kept.
      this.#swap(match.slot, target)
      source = target
    } else if (evicted !== target) {
      this.#moveAway(target, evicted)
    }
    const numTokens = match?.numTokens ?? 0
    if (source !== target) {
      this.#touch(source)
      this.#rows.copySlot(source, target, numTokens)
    }
    sequence.cachedTokens = numTokens
    this.#put(target, { state: 'taken', sequence })
  }

  /** The sequence has been computed up to its last token: it joins the decoding ones. */
  startDecoding(sequence: S): void {
    this.#swap(this.slotOf(sequence), this.#numDecoding)
    this.#numDecoding++
  }

  /**
   * Takes the sequence's slot away; the last decoding one fills its hole.
   * @param keep whether its rows may serve others: not if they may be wrong
   */
  release(sequence: S, { keep }: { readonly keep: boolean }): void {
    const slot = this.slotOf(sequence)
    const numTokens = keep ? sequence.cachedTokens : 0
    const { tokens, cacheSalt } = sequence
    this.#slotOf.delete(sequence)
    this.#slots[slot] = { state: 'free', tokens, numTokens, cacheSalt, lastUsed: ++this.#now }
    if (slot >= this.#numDecoding) return
    this.#numDecoding--
    this.#swap(slot, this.#numDecoding)
  }

  #longestMatch(sequence: S): Match | null {
    let best: Match | null = null
    for (const [index, slot] of this.#slots.entries()) {
      const match = matchOf(slot, index, sequence)
      if (match && (best === null || isBetter(match, best))) best = match
    }
    return best
  }

  /** The first empty slot, or else the one whose rows were not used for the longest time. */
  #slotToFill(): number {
    let oldest: { readonly slot: number; readonly lastUsed: number } | null = null
    for (const [index, slot] of this.#slots.entries()) {
      if (slot.state === 'taken') continue
      if (slot.numTokens === 0) return index
      if (oldest === null || slot.lastUsed < oldest.lastUsed) {
        oldest = { slot: index, lastUsed: slot.lastUsed }
      }
    }
    if (oldest === null) throw new Error('every slot is taken')
    return oldest.slot
  }

  /** Moves the rows of a free slot to another one, whose own are lost. */
  #moveAway(from: number, to: number): void {
    const slot = this.#slots[from]
    if (slot === undefined) return
    this.#rows.copySlot(from, to, rowsIn(slot))
    this.#put(to, slot)
  }

  #touch(index: number): void {
    const slot = this.#slots[index]
    if (slot?.state === 'free') this.#slots[index] = { ...slot, lastUsed: ++this.#now }
  }

  #swap(a: number, b: number): void {
    const [inA, inB] = [this.#slots[a], this.#slots[b]]
    if (a === b || inA === undefined || inB === undefined) return
    const [rowsA, rowsB] = [rowsIn(inA), rowsIn(inB)]
    if (rowsA > 0 && rowsB > 0) this.#rows.swapSlots(a, b, Math.max(rowsA, rowsB))
    else if (rowsA > 0) this.#rows.copySlot(a, b, rowsA)
    else if (rowsB > 0) this.#rows.copySlot(b, a, rowsB)
    this.#put(a, inB)
    this.#put(b, inA)
  }

  #put(index: number, slot: Slot<S>): void {
    this.#slots[index] = slot
    if (slot.state === 'taken') this.#slotOf.set(slot.sequence, index)
  }
}

const emptySlot: FreeSlot = {
  state: 'free',
  tokens: [],
  numTokens: 0,
  cacheSalt: '',
  lastUsed: 0,
}

const rowsIn = (slot: Slot<ScheduledSequence>): number =>
  slot.state === 'taken' ? slot.sequence.cachedTokens : slot.numTokens

const matchOf = <S extends ScheduledSequence>(
  slot: Slot<S>,
  index: number,
  sequence: S,
): Match | null => {
  const { tokens, cacheSalt } = slot.state === 'taken' ? slot.sequence : slot
  if (cacheSalt !== sequence.cacheSalt) return null
  const numCached = rowsIn(slot)
  const common = commonPrefix(tokens, sequence.tokens, numCached)
  const numTokens = Math.min(common, sequence.tokens.length - 1, sequence.reusableTokens)
  if (numTokens <= 0) return null
  return { slot: index, numTokens, isWhole: slot.state === 'free' && common === numCached }
}

/** Longer, or as long without a copy. */
const isBetter = (a: Match, b: Match): boolean =>
  a.numTokens > b.numTokens || (a.numTokens === b.numTokens && a.isWhole && !b.isWhole)

/** How many tokens of both are the same from the beginning on, at most `limit`. */
const commonPrefix = (a: readonly number[], b: readonly number[], limit: number): number => {
  const end = Math.min(limit, b.length)
  let length = 0
  while (length < end && a[length] === b[length]) length++
  return length
}
