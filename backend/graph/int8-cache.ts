/**
 * The graphs of a converted model once more, for a KV cache of int8: they lie beside the others, over the
 * same weights, and have the cache's scales in them.
 */
import { existsSync } from 'node:fs'
import { rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readConfigText } from '../checkpoint/config-text.ts'
import { parseConfig } from '../checkpoint/config.ts'
import type { RopeOverride } from '../checkpoint/rope-scaling.ts'
import { encodeModel } from '../onnx/model.ts'
import type { CacheScales } from './cache-dtype.ts'
import { decoderGraph } from './decoder-graph.ts'
import { rankFiles, readManifest, type Manifest } from './manifest.ts'
import { segmentsOf } from './segments.ts'
import { planShards } from './shard-plan.ts'
import { externalInitializers, placeWeights } from './weights-file.ts'
import { rankWeights } from './weights.ts'

const int8Files = (manifest: Manifest): string[] => {
  const plans = planShards(manifest, manifest)
  return plans.flatMap((plan) => rankFiles(plans, plan, 'int8').models)
}

/** Whether the converted model in `folder` has these graphs already. @throws ModelFolderError */
export const hasInt8Cache = (folder: string): boolean =>
  int8Files(readManifest(folder)).every((name) => existsSync(join(folder, name)))

/** The model that was converted. */
export type ConvertedFrom = {
  /** Or a .gguf file. */
  readonly modelFolder: string
  readonly ropeOverride?: RopeOverride | undefined
}

/**
 * Writes these graphs. Each appears whole or not at all.
 * @param folder the converted model
 * @throws ModelFolderError
 */
export const writeInt8Cache = async (
  folder: string,
  { modelFolder, ropeOverride }: ConvertedFrom,
  cacheScales: CacheScales,
): Promise<void> => {
  const manifest = readManifest(folder)
  const { path, text } = await readConfigText(modelFolder)
  const config = parseConfig(path, text, ropeOverride)
  const plans = planShards(manifest, manifest)
  for (const plan of plans) {
    const weights = placeWeights(rankWeights(config, plan, manifest))
    const initializers = externalInitializers(weights, rankFiles(plans, plan).weights)
    const model = { config, plan, weights, initializers, cacheScales }
    const names = rankFiles(plans, plan, 'int8').models
    for (const [index, segment] of segmentsOf(plan).entries()) {
      await writeWhole(join(folder, names[index] ?? ''), encodeModel(decoderGraph(model, segment)))
    }
  }
}

const writeWhole = async (path: string, bytes: Uint8Array): Promise<void> => {
  const temporary = `${path}.${process.pid}.tmp`
  try {
    await writeFile(temporary, bytes)
    await rename(temporary, path)
  } finally {
    await rm(temporary, { force: true })
  }
}
