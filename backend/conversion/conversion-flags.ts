/** How a model is to be converted, as far as flags or variables say so. */
import { scalingTypes, type RopeOverride } from '../checkpoint/rope-scaling.ts'
import { ModelFolderError } from '../model-folder-error.ts'
import type { Manifest } from '../graph/manifest.ts'
import {
  bitsOf,
  embeddingQuantizations,
  quantizations,
  weightDtypes,
  type EmbeddingQuantization,
  type Quantization,
  type WeightDtype,
} from '../graph/weight-format.ts'
import type { FlagReader } from '../read-flags.ts'
import type { ConvertOptions } from './convert.ts'

/** Undefined where nothing was said. */
export type ConversionFlags = {
  readonly tensorParallelSize: number | undefined
  readonly pipelineParallelSize: number | undefined
  readonly dtype: WeightDtype | 'auto' | undefined
  readonly quantization: Quantization | undefined
  readonly embeddingQuantization: EmbeddingQuantization | undefined
  /** In place of the model's own rotary scaling. */
  readonly ropeOverride: RopeOverride | undefined
}

export const readConversionFlags = (reader: FlagReader): ConversionFlags => ({
  tensorParallelSize: reader.count('tensor-parallel-size'),
  pipelineParallelSize: reader.count('pipeline-parallel-size'),
  dtype: reader.choice('dtype', ['auto', ...weightDtypes]),
  ...readQuantizations(reader),
  ropeOverride: readRopeOverride(reader),
})

const readQuantizations = (
  reader: FlagReader,
): Pick<ConversionFlags, 'quantization' | 'embeddingQuantization'> => {
  const quantization = reader.choice('quantization', quantizations)
  const embeddingQuantization = reader.choice('embedding-quantization', embeddingQuantizations)
  if (embeddingQuantization === undefined) return { quantization, embeddingQuantization }
  const bits = bitsOf[embeddingQuantization]
  const fitting = embeddingQuantizations.filter((layers) => bitsOf[layers] <= bits)
  if (!fitting.some((layers) => layers === quantization)) {
    reader.problems.push(
      `--embedding-quantization ${embeddingQuantization} goes with --quantization ${fitting.join(' or ')}: ` +
        'embedding and head are quantised where the layers are, and to no fewer bits',
    )
  }
  return { quantization, embeddingQuantization }
}

const readRopeOverride = (reader: FlagReader): RopeOverride | undefined => {
  const name = reader.text('rope-scaling')
  const factor = reader.text('rope-factor')
  if (name === undefined && factor === undefined) return undefined
  const type = scalingTypes.find((known) => known === name)
  if (type && factor && Number(factor) >= 1) return { type, factor: Number(factor) }
  reader.problems.push(
    `--rope-scaling must be one of ${scalingTypes.join(', ')}, and --rope-factor a number from 1 on: give both`,
  )
  return undefined
}

/** With what holds where nothing was said. */
export const convertOptions = (flags: ConversionFlags) =>
  ({
    parallel: {
      tensorParallelSize: flags.tensorParallelSize ?? 1,
      pipelineParallelSize: flags.pipelineParallelSize ?? 1,
    },
    format: {
      dtype: flags.dtype ?? 'auto',
      quantization: flags.quantization ?? 'none',
      embeddingQuantization: flags.embeddingQuantization,
    },
    ropeOverride: flags.ropeOverride,
  }) satisfies ConvertOptions

const ropeText = (rope: RopeOverride | null | undefined): string =>
  rope ? `${rope.type} by ${rope.factor}` : "the model's own"

/**
 * A model that was converted before can only be served as it is.
 * @throws ModelFolderError that names the flags that ask for something else
 */
export const requireAgreement = (
  folder: string,
  manifest: Manifest,
  flags: ConversionFlags,
): void => {
  const asked: readonly (readonly [flag: string, wanted: unknown, is: unknown])[] = [
    ['tensor-parallel-size', flags.tensorParallelSize, manifest.tensorParallelSize],
    ['pipeline-parallel-size', flags.pipelineParallelSize, manifest.pipelineParallelSize],
    ['dtype', flags.dtype === 'auto' ? undefined : flags.dtype, manifest.dtype],
    ['quantization', flags.quantization, manifest.quantization],
    ['embedding-quantization', flags.embeddingQuantization, manifest.embeddingQuantization],
    [
      'rope-scaling',
      flags.ropeOverride && ropeText(flags.ropeOverride),
      ropeText(manifest.ropeOverride),
    ],
  ]
  const wrong = asked.filter(([, wanted, is]) => wanted !== undefined && wanted !== is)
  if (wrong.length === 0) return
  const differences = wrong.map(([flag, wanted, is]) => `--${flag} ${wanted}, but it has ${is}`)
  throw new ModelFolderError(
    folder,
    `it was converted before, and cannot be served with ${differences.join('; ')}: ` +
      'leave that out, or convert the original model anew',
  )
}
