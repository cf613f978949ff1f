/**
 * Which part of the model each rank has: tensor parallel as in Megatron-LM (arXiv:1909.08053), layer
 * ranges for the pipeline. Pure numbers, known before any weight is read.
 */
import type { ModelConfig } from '../checkpoint/config.ts'
import { quantizationBlock, type Quantization } from './weight-format.ts'

/** `begin` inclusive, `end` exclusive. */
export type Range = { readonly begin: number; readonly end: number }

export type ParallelSizes = {
  /** Ranks that share every layer. */
  readonly tensorParallelSize: number
  /** Stages, each with layers of its own. */
  readonly pipelineParallelSize: number
}

export type ShardedSizes = Pick<
  ModelConfig,
  'numLayers' | 'numHeads' | 'numKvHeads' | 'headDim' | 'intermediateSize' | 'vocabSize'
>

export type RankPlan = {
  /** stage · tensorParallelSize + tensorRank */
  readonly rank: number
  readonly stage: number
  readonly tensorRank: number
  readonly tensorParallelSize: number
  /** Has the embedding. */
  readonly isFirstStage: boolean
  /** Has the output head. */
  readonly isLastStage: boolean
  readonly layers: Range
  /** Query heads. */
  readonly heads: Range
  /** The key and value heads that these query heads attend to; ranks may have the same ones. */
  readonly kvHeads: Range
  /** Features between the feed-forward part's projections. */
  readonly ffn: Range
  /** Token ids whose rows of embedding and head the rank has. */
  readonly vocab: Range
  /** Rows of its embedding and head, with padding; those beyond `vocab` are zeros. */
  readonly vocabRows: number
}

/** A model that these sizes cannot split. */
export class ShardingError extends Error {
  override readonly name = 'ShardingError'
}

/** Sizes beyond this are never suggested. */
const largestSuggestion = 64

/** Rows of a matrix are computed in blocks of this many. */
const rowBlock = 16

/** Why the model cannot be split over so many ranks; none when it can. */
const tensorProblems = (
  sizes: ShardedSizes,
  ranks: number,
  quantization: Quantization,
): string[] => {
  const { numHeads, numKvHeads, headDim, intermediateSize } = sizes
  const problems: string[] = []
  if (numHeads % ranks !== 0) problems.push(`its ${numHeads} query heads do not divide by ${ranks}`)
  if (numKvHeads % ranks !== 0 && ranks % numKvHeads !== 0) {
    problems.push(`its ${numKvHeads} key and value heads neither divide by ${ranks} nor divide it`)
  }
  if (intermediateSize % ranks !== 0) {
    problems.push(`its intermediate size ${intermediateSize} does not divide by ${ranks}`)
  }
  if (problems.length > 0 || quantization === 'none' || ranks === 1) return problems
  // What is split by columns is split between blocks, each of which has one scale.
  const columns = {
    'query heads have': numHeads * headDim,
    'feed-forward part has': intermediateSize,
  }
  for (const [what, all] of Object.entries(columns)) {
    const each = all / ranks
    if (each % quantizationBlock === 0) continue
    problems.push(
      `a rank's ${what} ${each} features, no whole blocks of ${quantizationBlock} for ${quantization}`,
    )
  }
  return problems
}

const workingTensorSizes = (sizes: ShardedSizes, quantization: Quantization): number[] =>
  Array.from({ length: largestSuggestion }, (_, index) => index + 1).filter(
    (ranks) => tensorProblems(sizes, ranks, quantization).length === 0,
  )

/** @throws ShardingError with the numbers, and the sizes that would work */
const checkSizes = (
  sizes: ShardedSizes,
  parallel: ParallelSizes,
  quantization: Quantization,
): void => {
  const { tensorParallelSize, pipelineParallelSize } = parallel
  for (const size of [tensorParallelSize, pipelineParallelSize]) {
    if (Number.isSafeInteger(size) && size >= 1) continue
    throw new ShardingError(`a parallel size must be a whole number from 1, not ${size}`)
  }
  const problems = tensorProblems(sizes, tensorParallelSize, quantization)
  if (problems.length > 0) {
    throw new ShardingError(
      `the model cannot be split over a tensor parallel size of ${tensorParallelSize}: ` +
        `${problems.join(', ')}; sizes that work: ${workingTensorSizes(sizes, quantization).join(', ')}`,
    )
  }
  if (pipelineParallelSize > sizes.numLayers) {
    throw new ShardingError(
      `the model cannot be split over a pipeline parallel size of ${pipelineParallelSize}: ` +
        `it has ${sizes.numLayers} layers; sizes that work: 1 to ${sizes.numLayers}`,
    )
  }
}

/** The part of `total` that is `index` of `count` equal ones. */
const share = (total: number, index: number, count: number): Range => ({
  begin: (total / count) * index,
  end: (total / count) * (index + 1),
})

/** The earlier stages have the layers that are over: the last one has the output head as well. */
const layersOf = (numLayers: number, stage: number, stages: number): Range => {
  const each = Math.floor(numLayers / stages)
  const over = numLayers % stages
  const begin = stage * each + Math.min(stage, over)
  return { begin, end: begin + each + (stage < over ? 1 : 0) }
}

const kvHeadsOf = (numKvHeads: number, tensorRank: number, ranks: number): Range => {
  if (numKvHeads % ranks === 0) return share(numKvHeads, tensorRank, ranks)
  const begin = Math.floor((tensorRank * numKvHeads) / ranks)
  return { begin, end: begin + 1 }
}

const vocabOf = (vocabSize: number, tensorRank: number, ranks: number) => {
  const each = Math.ceil(vocabSize / ranks)
  const begin = Math.min(vocabSize, tensorRank * each)
  const vocab = { begin, end: Math.min(vocabSize, begin + each) }
  if (ranks === 1) return { vocab, vocabRows: vocabSize }
  // One row of zeros at least: tokens of other ranks look it up.
  return { vocab, vocabRows: Math.ceil((each + 1) / rowBlock) * rowBlock }
}

/**
 * All ranks, in order.
 * @param quantization of the weights, whose blocks are not split
 * @throws ShardingError
 */
export const planShards = (
  sizes: ShardedSizes,
  parallel: ParallelSizes,
  quantization: Quantization = 'none',
): RankPlan[] => {
  checkSizes(sizes, parallel, quantization)
  const { tensorParallelSize: ranks, pipelineParallelSize: stages } = parallel
  return Array.from({ length: ranks * stages }, (_, rank) => {
    const tensorRank = rank % ranks
    const stage = Math.floor(rank / ranks)
    return {
      rank,
      stage,
      tensorRank,
      tensorParallelSize: ranks,
      isFirstStage: stage === 0,
      isLastStage: stage === stages - 1,
      layers: layersOf(sizes.numLayers, stage, stages),
      heads: share(sizes.numHeads, tensorRank, ranks),
      kvHeads: kvHeadsOf(sizes.numKvHeads, tensorRank, ranks),
      ffn: share(sizes.intermediateSize, tensorRank, ranks),
      ...vocabOf(sizes.vocabSize, tensorRank, ranks),
    }
  })
}

export const rangeLength = ({ begin, end }: Range): number => end - begin

/** The model's config with the sizes of the rank's share. */
export const shareOf = (config: ModelConfig, plan: RankPlan): ModelConfig => ({
  ...config,
  numHeads: rangeLength(plan.heads),
  numKvHeads: rangeLength(plan.kvHeads),
  intermediateSize: rangeLength(plan.ffn),
  // A bias is added once, not by each rank.
  hasOutputBias: config.hasOutputBias && plan.tensorRank === 0,
})
