/**
 * The graphs of a converted model once more, for a KV cache of int8: they lie beside the others, over the
 * same weights, and have the cache's scales in them. A file of its own says what they were made from.
 */
import { createHash, randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { readConfigText } from '../checkpoint/config-text.ts'
import { parseConfig } from '../checkpoint/config.ts'
import type { RopeOverride } from '../checkpoint/rope-scaling.ts'
import { ModelFolderError } from '../model-folder-error.ts'
import { encodeModel } from '../onnx/model.ts'
import type { CacheScales } from './cache-dtype.ts'
import { decoderGraph } from './decoder-graph.ts'
import { graphFiles, rankFiles, readManifest, type Manifest } from './manifest.ts'
import { segmentsOf } from './segments.ts'
import { planShards } from './shard-plan.ts'
import { externalInitializers, placeWeights } from './weights-file.ts'
import { rankWeights } from './weights.ts'

/** Raised whenever these graphs change, or how their scales are measured. */
const cacheVersion = 1

type CacheRecord = {
  readonly cacheVersion: number
  /** Of the conversion (manifest.ts). */
  readonly fingerprint: string
  /** SHA-256 of each graph, by its name. */
  readonly graphs: Readonly<Record<string, string>>
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

const graphNames = (manifest: Manifest): string[] => {
  const plans = planShards(manifest, manifest)
  return plans.flatMap((plan) => rankFiles(plans, plan, 'int8').models)
}

/**
 * Whether the converted model in `folder` has these graphs already, whole and of this version.
 * @throws ModelFolderError for a folder that is no converted model
 */
export const hasInt8Cache = (folder: string): boolean => {
  const manifest = readManifest(folder)
  try {
    const text = readFileSync(join(folder, graphFiles.int8Cache), 'utf8')
    const record: CacheRecord = JSON.parse(text)
    const isOfThis =
      record.cacheVersion === cacheVersion && record.fingerprint === manifest.fingerprint
    return (
      isOfThis &&
      graphNames(manifest).every(
        (name) => sha256(readFileSync(join(folder, name))) === record.graphs[name],
      )
    )
  } catch {
    // Missing, torn or of another version: they are written anew.
    return false
  }
}

/** The model that was converted. */
export type ConvertedFrom = {
  /** Or a .gguf file. */
  readonly modelFolder: string
  readonly ropeOverride?: RopeOverride | undefined
}

/**
 * Writes these graphs, and last the record that makes them count. The caller has the folder's lock.
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
  const graphs: Record<string, string> = {}
  for (const plan of plans) {
    const weights = placeWeights(rankWeights(config, plan, manifest))
    const initializers = externalInitializers(weights, rankFiles(plans, plan).weights)
    const model = { config, plan, weights, initializers, cacheScales }
    const names = rankFiles(plans, plan, 'int8').models
    for (const [index, segment] of segmentsOf(plan).entries()) {
      const name = names[index] ?? ''
      const bytes = encodeModel(decoderGraph(model, segment))
      await writeWhole(folder, name, bytes)
      graphs[name] = sha256(bytes)
    }
  }
  const record: CacheRecord = { cacheVersion, fingerprint: manifest.fingerprint, graphs }
  const json = new TextEncoder().encode(`${JSON.stringify(record, null, 2)}\n`)
  await writeWhole(folder, graphFiles.int8Cache, json)
}

/** Beside the folder first, so that a leftover of a killed process is no foreign file in it. */
const writeWhole = async (folder: string, name: string, bytes: Uint8Array): Promise<void> => {
  const temporary = `${folder}.${randomUUID()}.tmp`
  try {
    const file = await open(temporary, 'wx')
    try {
      await file.writeFile(bytes)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, join(folder, name))
  } catch (cause) {
    throw new ModelFolderError(join(folder, name), cause)
  } finally {
    await rm(temporary, { force: true })
  }
}
