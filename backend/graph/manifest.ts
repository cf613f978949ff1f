/** manifest.json of a converted model: what it was made from, and the sizes that the engine needs. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { JsonFile } from '../checkpoint/json-file.ts'
import { ModelFolderError } from '../model-folder-error.ts'

/** Raised whenever what convert.ts writes changes: older conversions are then made anew. */
export const formatVersion = 1

/** The files of a converted model's folder. */
export const graphFiles = {
  model: 'model.onnx',
  weights: 'weights.bin',
  manifest: 'manifest.json',
} as const

export type Manifest = {
  readonly formatVersion: number
  /** See fingerprint.ts: of what was converted. */
  readonly fingerprint: string
  readonly numLayers: number
  readonly numKvHeads: number
  readonly headDim: number
  readonly vocabSize: number
  /** The longest sequence that the model can take, in tokens. */
  readonly maxPositions: number
  /** The size of weights.bin. */
  readonly weightsBytes: number
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
  return {
    formatVersion: version,
    fingerprint,
    numLayers: file.requiredCount('numLayers'),
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
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    throw new ModelFolderError(path, cause)
  }
  return parseManifest(path, text)
}
