/** Finds the converted form of the model that is to be served, or makes it. */
import { createHash } from 'node:crypto'
import { basename, join } from 'node:path'
import type { Log } from '../../shared/log.ts'
import { readConfigText } from '../checkpoint/config-text.ts'
import { parseConfig } from '../checkpoint/config.ts'
import { isConverted } from '../checkpoint/converted-folder.ts'
import type { RopeOverride } from '../checkpoint/rope-scaling.ts'
import { readManifest, type Manifest } from '../graph/manifest.ts'
import { convertOptions, requireAgreement, type ConversionFlags } from './conversion-flags.ts'
import { convertModel } from './convert.ts'
import type { Progress } from './progress.ts'
import { requireConfig } from './require-config.ts'

export type ModelToOpen = {
  /** A model folder, a .gguf file, or what `burrow shard` wrote. */
  readonly modelFolder: string
  /** Conversions are kept under it. */
  readonly home: string
  readonly conversion: ConversionFlags
}

export type OpenedModel = {
  /** What decoder.ts runs. */
  readonly graphFolder: string
  readonly manifest: Manifest
  /** That it was converted with. */
  readonly ropeOverride: RopeOverride | undefined
}

/** Between two lines about a long conversion. */
const progressIntervalMs = 10_000

/** One folder for each model folder and form, whatever names they share. */
const conversionName = (modelFolder: string, flags: ConversionFlags): string => {
  const hash = createHash('sha256').update(modelFolder).digest('hex').slice(0, 12)
  const { parallel, format, ropeOverride } = convertOptions(flags)
  const { tensorParallelSize, pipelineParallelSize } = parallel
  const isWhole = tensorParallelSize * pipelineParallelSize === 1
  return [
    basename(modelFolder),
    hash,
    ...(isWhole ? [] : [`tp${tensorParallelSize}`, `pp${pipelineParallelSize}`]),
    ...(format.dtype === 'auto' ? [] : [format.dtype]),
    ...(format.quantization === 'none' ? [] : [format.quantization]),
    ...(format.embeddingQuantization === 'int4' ? ['embedding-int4'] : []),
    ...(ropeOverride ? [`${ropeOverride.type}${ropeOverride.factor}`] : []),
  ].join('-')
}

const progressLog = (log: Log): ((progress: Progress) => void) => {
  let lastMs = performance.now()
  return ({ doneBytes, totalBytes }) => {
    if (performance.now() - lastMs < progressIntervalMs) return
    lastMs = performance.now()
    log.info('still converting', { percent: Math.floor((100 * doneBytes) / totalBytes) })
  }
}

/** @throws what {@link convertModel} throws; ModelFolderError for flags that a converted model contradicts */
export const openModel = async (
  { modelFolder, home, conversion }: ModelToOpen,
  log: Log,
): Promise<OpenedModel> => {
  if (isConverted(modelFolder)) {
    const manifest = readManifest(modelFolder)
    requireAgreement(modelFolder, manifest, conversion)
    const ropeOverride = manifest.ropeOverride ?? undefined
    const { path, text } = await readConfigText(modelFolder)
    requireConfig(modelFolder, manifest, parseConfig(path, text, ropeOverride))
    return { graphFolder: modelFolder, manifest, ropeOverride }
  }
  const graphFolder = join(home, 'models', conversionName(modelFolder, conversion))
  const options = convertOptions(conversion)
  const onProgress = progressLog(log)
  const manifest = await convertModel(modelFolder, graphFolder, { ...options, log, onProgress })
  return { graphFolder, manifest, ropeOverride: options.ropeOverride }
}
