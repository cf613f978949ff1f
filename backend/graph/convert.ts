/** Converts a checkpoint into the folder that decoder.ts runs, once. */
import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Log } from '../../shared/log.ts'
import { Checkpoint } from '../checkpoint/checkpoint.ts'
import { readConfigText } from '../checkpoint/config-text.ts'
import { parseConfig, type ModelConfig } from '../checkpoint/config.ts'
import type { RopeOverride } from '../checkpoint/rope-scaling.ts'
import { encodeModel } from '../onnx/model.ts'
import { decoderGraph } from './decoder-graph.ts'
import { fingerprint } from './fingerprint.ts'
import { formatVersion, graphFiles, rankFiles, readManifest, type Manifest } from './manifest.ts'
import { publishFolder, removeLeftovers } from './publish-folder.ts'
import { segmentsOf } from './segments.ts'
import { planShards, type ParallelSizes, type RankPlan } from './shard-plan.ts'
import { plainFormat, type WeightFormat } from './weight-format.ts'
import { externalInitializers, placeWeights, writeWeights } from './weights-file.ts'
import { rankWeights } from './weights.ts'

/** The conversion in `folder`, if it is whole and of this fingerprint. */
const findConversion = async (folder: string, wanted: string): Promise<Manifest | null> => {
  try {
    const manifest = readManifest(folder)
    if (manifest.fingerprint !== wanted) return null
    const plans = planShards(manifest, manifest)
    const sizes = await Promise.all(
      plans.map(async (plan) => (await stat(join(folder, rankFiles(plans, plan).weights))).size),
    )
    const numBytes = sizes.reduce((sum, size) => sum + size, 0)
    return numBytes === manifest.weightsBytes ? manifest : null
  } catch {
    // Missing, half or of another version: converting anew is the answer to each.
    return null
  }
}

const writeConversion = async (
  modelFolder: string,
  folder: string,
  config: ModelConfig,
  plans: readonly RankPlan[],
  source: Pick<Manifest, 'fingerprint' | keyof ParallelSizes | keyof WeightFormat>,
): Promise<Manifest> => {
  const ranks = plans.map((plan) => ({
    plan,
    files: rankFiles(plans, plan),
    weights: placeWeights(rankWeights(config, plan, source)),
  }))
  const checkpoint = await Checkpoint.open(modelFolder)
  try {
    const weightsBytes = await writeWeights(
      ranks.map(({ files, weights }) => ({ path: join(folder, files.weights), weights })),
      config,
      checkpoint,
    )
    for (const { plan, files, weights } of ranks) {
      const initializers = externalInitializers(weights, files.weights)
      const rankModel = { config, plan, weights, initializers, cacheScales: null }
      for (const [index, segment] of segmentsOf(plan).entries()) {
        const model = encodeModel(decoderGraph(rankModel, segment))
        await writeFile(join(folder, files.models[index] ?? ''), model)
      }
    }
    const { hiddenSize, intermediateSize, numLayers, numHeads, numKvHeads, headDim } = config
    const { vocabSize, maxPositions } = config
    const sizes = { hiddenSize, intermediateSize, numLayers, numHeads, numKvHeads, headDim }
    const limits = { vocabSize, maxPositions, weightsBytes }
    const manifest: Manifest = { formatVersion, ...source, ...sizes, ...limits }
    await writeFile(join(folder, graphFiles.manifest), `${JSON.stringify(manifest, null, 2)}\n`)
    return manifest
  } finally {
    await checkpoint.close()
  }
}

export type ConvertOptions = {
  readonly log?: Log | undefined
  /** In place of the config's rotary scaling. */
  readonly ropeOverride?: RopeOverride | undefined
  /** Default: one rank that has the whole model. */
  readonly parallel?: ParallelSizes | undefined
  /** Default: float32, not quantised. */
  readonly format?: WeightFormat | undefined
}

const alone: ParallelSizes = { tensorParallelSize: 1, pipelineParallelSize: 1 }

/**
 * Writes graphs, weights and manifest.json of a checkpoint (config.json with safetensors or PyTorch
 * files, or GGUF) to `outFolder`, for one rank or for several, or leaves them when they are up to
 * date. The folder appears whole or not at all;
 * processes that convert at once end with one whole conversion.
 * @param modelFolder or a .gguf file
 * @param outFolder made with its parents; it may hold an older conversion, and nothing else
 * @throws ModelFolderError that names the file at fault, ShardingError
 */
export const convertModel = async (
  modelFolder: string,
  outFolder: string,
  { log, ropeOverride, parallel = alone, format = plainFormat }: ConvertOptions = {},
): Promise<Manifest> => {
  const { path: configPath, text: configText } = await readConfigText(modelFolder)
  const config = parseConfig(configPath, configText, ropeOverride)
  const plans = planShards(config, parallel, format.quantization)
  const { tensorParallelSize, pipelineParallelSize } = parallel
  const { dtype, quantization } = format
  const sizes = { tensorParallelSize, pipelineParallelSize }
  const options = { ...sizes, dtype, quantization, ropeOverride }
  const source = await fingerprint(modelFolder, configText, options)
  const existing = await findConversion(outFolder, source)
  if (existing !== null) return existing

  const parent = dirname(outFolder)
  await mkdir(parent, { recursive: true })
  await removeLeftovers(outFolder)
  const temporary = await mkdtemp(join(parent, `${basename(outFolder)}.tmp-`))
  try {
    log?.info('converting model', { model: basename(modelFolder) })
    const manifest = await writeConversion(modelFolder, temporary, config, plans, {
      fingerprint: source,
      ...sizes,
      dtype,
      quantization,
    })
    await publishFolder(temporary, outFolder, async () => {
      return (await findConversion(outFolder, source)) !== null
    })
    log?.info('converted model', { bytes: manifest.weightsBytes })
    return manifest
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
}
