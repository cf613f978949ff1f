/**
 * The graphs that a rank runs one after the other. Alone in its tensor group, a rank has one for its
 * whole stage; else the outputs of attention and feed-forward are parts of a sum, and the graph ends
 * at each of them.
 */
import type { Range, RankPlan } from './shard-plan.ts'

/** One half of a layer. */
export type Block = { readonly layer: number; readonly kind: 'attention' | 'mlp' }

export type Segment = {
  /** Begins at token ids; else at the parts of the hidden state. */
  readonly embeds: boolean
  readonly blocks: readonly Block[]
  /** Ends at logits; else at this rank's part of the hidden state. */
  readonly hasHead: boolean
}

const blocksOf = ({ begin, end }: Range): Block[] =>
  Array.from({ length: end - begin }, (_, index): Block[] => [
    { layer: begin + index, kind: 'attention' },
    { layer: begin + index, kind: 'mlp' },
  ]).flat()

/** In the order in which they run. */
export const segmentsOf = (plan: RankPlan): Segment[] => {
  const { isFirstStage, isLastStage, tensorParallelSize } = plan
  const blocks = blocksOf(plan.layers)
  if (tensorParallelSize === 1) return [{ embeds: isFirstStage, blocks, hasHead: isLastStage }]
  return [
    ...(isFirstStage ? [{ embeds: true, blocks: [], hasHead: false }] : []),
    ...blocks.map((block) => ({ embeds: false, blocks: [block], hasHead: false })),
    ...(isLastStage ? [{ embeds: false, blocks: [], hasHead: true }] : []),
  ]
}
