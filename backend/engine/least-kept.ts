/** Where a nucleus ends among many logits that are nearly the same. */
import { weightOf, type Weighing } from './softmax.ts'

/**
 * The smallest logit that is kept when the largest are, until they hold `wanted` mass; at least one is.
 * By selection instead of a sort: after each pass about half of what was open is still open.
 * @param values numbers, at least one; their order changes
 * @returns `equals`: so many of those with the least logit are kept; `mass`: of all that are kept
 */
export const leastKept = (weighing: Weighing, values: Float32Array, wanted: number) => {
  const weight = (value: number): number => weightOf((weighing.max - value) * weighing.sharpness)
  /** All before `begin` are kept, and weigh `mass`; all from `end` on are not. */
  let begin = 0
  let end = values.length
  let mass = 0
  for (;;) {
    const pivot = medianOfThree(values, begin, end)
    let above = begin
    let below = end
    let massAbove = 0
    for (let i = begin; i < below;) {
      const value = values[i]!
      if (value > pivot) {
        massAbove += weight(value)
        values[i++] = values[above]!
        values[above++] = value
      } else if (value < pivot) {
        values[i] = values[--below]!
        values[below] = value
      } else i++
    }
    if (above > begin && mass + massAbove >= wanted) {
      end = above
      continue
    }
    mass += massAbove
    const needed = Math.max(above === 0 ? 1 : 0, Math.ceil((wanted - mass) / weight(pivot)))
    const equals = Math.min(needed, below - above)
    mass += equals * weight(pivot)
    // None is left where rounding left a little to be wanted.
    if (needed <= equals || below === end) return { least: pivot, equals, mass }
    begin = below
  }
}

const medianOfThree = (values: Float32Array, begin: number, end: number): number => {
  const a = values[begin]!
  const b = values[(begin + end) >>> 1]!
  const c = values[end - 1]!
  return Math.max(Math.min(a, b), Math.min(Math.max(a, b), c))
}
