/** Which tokens of the vocabulary are in a bucket (softmax.ts), or possible at all: by a pass over all. */
import { boundsOf, weightOf, type Weighing } from './softmax.ts'
import { vocabularyBlock } from './vocabulary-block.ts'

/**
 * The tokens of one bucket in the order of their ids.
 * @param into [vocab], overwritten
 */
export const tokensOfBucket = (
  weighing: Weighing,
  bucket: number,
  into: Uint32Array,
): Uint32Array => {
  let count = 0
  for (let begin = 0; begin < weighing.logits.length; begin += vocabularyBlock) {
    count = collectBlock(weighing, begin, bucket, into, count)
  }
  return into.subarray(0, count)
}

/**
 * The token of a bucket at which its mass, summed in the order of ids, comes above `at`.
 * @param into [vocab], overwritten
 */
export const tokenInBucket = (
  weighing: Weighing,
  bucket: number,
  at: number,
  into: Uint32Array,
): number => {
  let left = at
  let last = 0
  for (let begin = 0; begin < weighing.logits.length; begin += vocabularyBlock) {
    const count = collectBlock(weighing, begin, bucket, into, 0)
    for (let i = 0; i < count; i++) {
      last = into[i]!
      left -= weightOf((weighing.max - weighing.logits[last]!) * weighing.sharpness)
      if (left < 0) return last
    }
  }
  // Rounding.
  return last
}

/** @returns how many tokens `into` has now */
const collectBlock = (
  { logits, max, sharpness, reach }: Weighing,
  begin: number,
  bucket: number,
  into: Uint32Array,
  alreadyIn: number,
): number => {
  const end = Math.min(begin + vocabularyBlock, logits.length)
  const { nearest, next } = boundsOf(bucket)
  let count = alreadyIn
  for (let i = begin; i < end; i++) {
    const d = (max - logits[i]!) * sharpness
    if (d >= nearest && d < next && d <= reach) into[count++] = i
  }
  return count
}

/**
 * The tokens that are possible, in the order of their ids.
 * @param into [vocab], overwritten
 */
export const tokensWithinReach = (weighing: Weighing, into: Uint32Array): Uint32Array => {
  let count = 0
  for (let begin = 0; begin < weighing.logits.length; begin += vocabularyBlock) {
    count = collectWithinReach(weighing, begin, into, count)
  }
  return into.subarray(0, count)
}

/** @returns how many tokens `into` has now */
const collectWithinReach = (
  { logits, max, sharpness, reach }: Weighing,
  begin: number,
  into: Uint32Array,
  alreadyIn: number,
): number => {
  const end = Math.min(begin + vocabularyBlock, logits.length)
  let count = alreadyIn
  for (let i = begin; i < end; i++) {
    if ((max - logits[i]!) * sharpness <= reach) into[count++] = i
  }
  return count
}
