/** All that a conversion will do, known before anything is written. */
import type { Checkpoint } from '../checkpoint/checkpoint.ts'
import type { ModelConfig } from '../checkpoint/config.ts'
import type { RopeOverride } from '../checkpoint/rope-scaling.ts'
import { rankFiles, type RankFiles } from '../graph/manifest.ts'
import type { ParallelSizes, RankPlan } from '../graph/shard-plan.ts'
import type { WeightDtype, WeightFormat } from '../graph/weight-format.ts'
import { placeWeights, weightsFileBytes, type PlacedWeight } from '../graph/weights-file.ts'
import { rankWeights } from '../graph/weights.ts'
import type { CompleteWish } from './format-wish.ts'
import type { Output } from './partial-folder.ts'
import { planPieces, type Piece } from './pieces.ts'

/** What is given; see {@link planConversion}. */
export type ConversionWish = {
  readonly config: ModelConfig
  readonly shards: readonly RankPlan[]
  readonly parallel: ParallelSizes
  readonly format: CompleteWish
  readonly ropeOverride: RopeOverride | undefined
  /** Go into the folder as they are. */
  readonly textFiles: ReadonlyMap<string, Uint8Array>
  readonly valuesPerPiece: number
}

export type RankOutput = {
  readonly plan: RankPlan
  readonly files: RankFiles
  readonly weights: readonly PlacedWeight[]
}

export type ConversionPlan = Omit<ConversionWish, 'format'> & {
  readonly format: WeightFormat
  readonly ranks: readonly RankOutput[]
  /** The ranks' files of weights. */
  readonly outputs: readonly Output[]
  readonly pieces: readonly Piece[]
}

const ownDtypes: ReadonlyMap<string, WeightDtype> = new Map([
  ['F16', 'float16'],
  ['BF16', 'bfloat16'],
])

/**
 * Checksums of whole tensors are compared while they are read. What is only a part of what has a checksum
 * is read for it beforehand: views, which checkpoints rarely have.
 */
const checkUnsummed = async (pieces: readonly Piece[], checkpoint: Checkpoint): Promise<void> => {
  const names = new Set<string>()
  for (const { source } of pieces) {
    if (typeof source !== 'string' && source.crc32 === undefined) names.add(source.name)
  }
  for (const name of names) await checkpoint.verify(name)
}

/** @throws ModelFolderError for a tensor that is missing, damaged, has another shape or cannot be read */
export const planConversion = async (
  checkpoint: Checkpoint,
  wish: ConversionWish,
): Promise<ConversionPlan> => {
  const { config, shards, valuesPerPiece } = wish
  const { dtype } = wish.format
  const own = ownDtypes.get(checkpoint.mainType) ?? 'float32'
  const format: WeightFormat = { ...wish.format, dtype: dtype === 'auto' ? own : dtype }
  const ranks = shards.map((plan) => ({
    plan,
    files: rankFiles(shards, plan),
    weights: placeWeights(rankWeights(config, plan, format)),
  }))
  const outputs = ranks.map(({ files, weights }) => ({
    name: files.weights,
    numBytes: weightsFileBytes(weights),
  }))
  const allWeights = ranks.map(({ weights }) => weights)
  const pieces = planPieces(allWeights, checkpoint, valuesPerPiece)
  await checkUnsummed(pieces, checkpoint)
  return { ...wish, format, ranks, outputs, pieces }
}
