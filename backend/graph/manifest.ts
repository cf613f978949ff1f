/** manifest.json of a converted model: what it was made from, and the sizes that the engine needs. */
import { join } from 'node:path'
import { JsonFile } from '../checkpoint/json-file.ts'
import { scalingTypes, type RopeOverride } from '../checkpoint/rope-scaling.ts'
import { readModelText } from '../model-file.ts'
import type { CacheDtype } from './cache-dtype.ts'
import { segmentsOf } from './segments.ts'
import type { RankPlan } from './shard-plan.ts'
import {
  quantizations,
  weightDtypes,
  type Quantization,
  type WeightDtype,
} from './weight-format.ts'

/** Raised whenever what a conversion writes changes: older ones are then made anew. */
export const formatVersion = 7

/** Files of a converted model's folder; where several ranks share it, each has its own weights. */
export const graphFiles = {
  weights: 'weights.bin',
  manifest: 'manifest.json',
  int8Cache: 'int8-cache.json',
} as const

/** More than any machine has; a plan is made for each rank before anything else is known. */
const maxParallelSize = 256

export type RankFiles = {
  readonly weights: string
  /** The graphs, in the order of segments.ts. */
  readonly models: readonly string[]
}

/** What the names of graphs end with, by the numbers in the KV cache. */
const modelEndings = { float32: '.onnx', int8: '.int8-cache.onnx' } as const

/** The names of a rank's files. */
export const rankFiles = (
  plans: readonly RankPlan[],
  plan: RankPlan,
  cacheDtype: CacheDtype = 'float32',
): RankFiles => {
  const ending = modelEndings[cacheDtype]
  if (plans.length === 1) return { weights: graphFiles.weights, models: [`model${ending}`] }
  return {
    weights: `rank-${plan.rank}.weights.bin`,
    models: segmentsOf(plan).map((_, index) => `rank-${plan.rank}.segment-${index}${ending}`),
  }
}

const rankFile = /^(model|rank-\d+\.segment-\d+)(\.int8-cache)?\.onnx$|^rank-\d+\.weights\.bin$/

/** Whether a file of this name is for a KV cache of int8: such come after the conversion. */
export const isInt8CacheFile = (name: string): boolean =>
  name === graphFiles.int8Cache || (rankFile.test(name) && name.endsWith(modelEndings.int8))

/** Whether a file of this name may be of a converted model. */
export const isGraphFile = (name: string): boolean => {
  const own: readonly string[] = Object.values(graphFiles)
  return own.includes(name) || rankFile.test(name)
}

export type Manifest = {
  readonly formatVersion: number
  /** See fingerprint.ts: of what was converted. */
  readonly fingerprint: string
  readonly tensorParallelSize: number
  readonly pipelineParallelSize: number
  readonly dtype: WeightDtype
  readonly quantization: Quantization
  /** See WeightFormat (weight-format.ts). */
  readonly embeddingQuantization: Quantization
  /** What was given in place of the model's own rotary scaling. */
  readonly ropeOverride: RopeOverride | null
  readonly hiddenSize: number
  readonly intermediateSize: number
  readonly numLayers: number
  readonly numHeads: number
  readonly numKvHeads: number
  readonly headDim: number
  readonly vocabSize: number
  /** The longest sequence that the model can take, in tokens. */
  readonly maxPositions: number
  /** The size of all files of weights together. */
  readonly weightsBytes: number
}

const parseRopeOverride = (file: JsonFile): RopeOverride | null => {
  const fields = file.object('ropeOverride')
  if (fields === undefined) return null
  const type = scalingTypes.find((known) => known === fields.type)
  const factor = file.positive('factor', fields)
  if (type === undefined || factor === undefined) throw file.error('ropeOverride is not complete')
  return { type, factor }
}

/** @throws ModelFolderError that names the field at fault, also for another format version */
export const parseManifest = (path: string, text: string): Manifest => {
  const file = new JsonFile(path, text)
  const version = file.requiredCount('formatVersion')
  if (version !== formatVersion) {
    throw file.error(
      `it has format version ${version}, not ${formatVersion}: convert the model anew`,
    )
  }
  const { fingerprint } = file.fields
  if (typeof fingerprint !== 'string') throw file.error('fingerprint must be a string')
  const oneOf = <T extends string>(name: string, known: readonly T[]): T => {
    const found = known.find((value) => value === file.fields[name])
    if (found === undefined) throw file.error(`${name} must be one of ${known.join(', ')}`)
    return found
  }
  const ranks = (name: string): number => {
    const count = file.requiredCount(name)
    if (count > maxParallelSize) throw file.error(`${name} must be ${maxParallelSize} at most`)
    return count
  }
  return {
    formatVersion: version,
    fingerprint,
    tensorParallelSize: ranks('tensorParallelSize'),
    pipelineParallelSize: ranks('pipelineParallelSize'),
    dtype: oneOf('dtype', weightDtypes),
    quantization: oneOf('quantization', quantizations),
    embeddingQuantization: oneOf('embeddingQuantization', quantizations),
    ropeOverride: parseRopeOverride(file),
    hiddenSize: file.requiredCount('hiddenSize'),
    intermediateSize: file.requiredCount('intermediateSize'),
    numLayers: file.requiredCount('numLayers'),
    numHeads: file.requiredCount('numHeads'),
    numKvHeads: file.requiredCount('numKvHeads'),
    headDim: file.requiredCount('headDim'),
    vocabSize: file.requiredCount('vocabSize'),
    maxPositions: file.requiredCount('maxPositions'),
    weightsBytes: file.requiredCount('weightsBytes'),
  }
}

/** Of the converted model in `folder`. @throws ModelFolderError */
export const readManifest = (folder: string): Manifest => {
  const path = join(folder, graphFiles.manifest)
  return parseManifest(path, readModelText(path))
}
