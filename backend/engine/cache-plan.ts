/**
 * How the memory for the KV cache is divided: how long a sequence may be, how many run at a time, and
 * how many slots there are. Pure arithmetic, done before anything is allocated.
 */
import { ConfigError } from '../../shared/config-error.ts'
import { formatByteSize } from '../byte-size.ts'

/** What the operator asked for; undefined where that is left to the plan. */
export type CacheWishes = {
  readonly maxModelLen: number | undefined
  readonly maxNumSeqs: number | undefined
  readonly maxNumBatchedTokens: number | undefined
}

export type CachePlan = {
  /** Positions of a slot. */
  readonly maxModelLen: number
  readonly maxNumSeqs: number
  /** Those above `maxNumSeqs` only cache prefixes. */
  readonly numSlots: number
  readonly maxNumBatchedTokens: number
  /** What all slots take once each was filled. */
  readonly cacheBytes: number
}

export const defaultMaxNumSeqs = 16
/** Few enough that decoding sequences wait about as long as for a step of their own. */
export const defaultMaxNumBatchedTokens = 256

/** Sequences that a context shortened to fit leaves room for. */
const minSeqsByDefault = 4
/** A context that was chosen, not asked for, is a multiple of it. */
const lengthStep = 256
/** More slots for each running sequence cache little that is asked for again. */
const maxSlotsPerSeq = 4

/**
 * Without wishes, the model's whole context for 16 sequences; where the memory is too small for that,
 * first fewer sequences, then a shorter context.
 * @param bytesPerToken keys and values of one token in all layers
 * @param maxPositions the model's context
 * @param memory bytes that the cache may have
 * @throws ConfigError, with the numbers, for wishes that do not fit
 */
export const planCache = (
  model: { readonly bytesPerToken: number; readonly maxPositions: number },
  memory: number,
  wishes: CacheWishes,
): CachePlan => {
  const { bytesPerToken, maxPositions } = model
  if (wishes.maxModelLen !== undefined && wishes.maxModelLen > maxPositions) {
    throw new ConfigError([
      `--max-model-len ${wishes.maxModelLen} is more than the model's context of ${maxPositions} tokens`,
    ])
  }
  const maxModelLen =
    wishes.maxModelLen ??
    longestContext(maxPositions, memory / bytesPerToken, wishes.maxNumSeqs ?? minSeqsByDefault)
  const slotBytes = maxModelLen * bytesPerToken
  const slotsThatFit = Math.floor(memory / slotBytes)
  const minSeqs = wishes.maxNumSeqs ?? 1
  if (slotsThatFit < minSeqs) {
    throw new ConfigError([
      `--max-num-seqs ${minSeqs} with --max-model-len ${maxModelLen} takes ` +
        `${formatByteSize(minSeqs * slotBytes)} of KV cache (${formatByteSize(slotBytes)} for each ` +
        `sequence), but --kv-cache-memory is ${formatByteSize(memory)} and fits ${slotsThatFit}: ` +
        'give more --kv-cache-memory, fewer --max-num-seqs or a shorter --max-model-len',
    ])
  }
  const maxNumSeqs = wishes.maxNumSeqs ?? Math.min(defaultMaxNumSeqs, slotsThatFit)
  const numSlots = Math.min(slotsThatFit, maxNumSeqs * maxSlotsPerSeq)
  const maxNumBatchedTokens =
    wishes.maxNumBatchedTokens ?? Math.max(defaultMaxNumBatchedTokens, 2 * maxNumSeqs)
  if (maxNumBatchedTokens <= maxNumSeqs) {
    throw new ConfigError([
      `--max-num-batched-tokens ${maxNumBatchedTokens} must be more than --max-num-seqs ${maxNumSeqs}: ` +
        'each sequence may decode one token a step, and prompts need some too',
    ])
  }
  return {
    maxModelLen,
    maxNumSeqs,
    numSlots,
    maxNumBatchedTokens,
    cacheBytes: numSlots * slotBytes,
  }
}

/** The model's context, or what the memory holds of it `numSeqs` times. */
const longestContext = (maxPositions: number, tokens: number, numSeqs: number): number => {
  const length = Math.floor(tokens / numSeqs)
  if (length >= maxPositions) return maxPositions
  // Too little memory for a step is told by the caller, who has the numbers.
  return Math.min(maxPositions, Math.max(lengthStep, length - (length % lengthStep)))
}
