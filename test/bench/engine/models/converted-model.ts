/** Models converted for a bench, in formats that have one word each. */
import { createHash } from 'node:crypto'
import { basename } from 'node:path'
import { prepareInt8Cache } from '../../../../backend/engine/prepare-int8-cache.ts'
import type { CacheDtype } from '../../../../backend/graph/cache-dtype.ts'
import { convertModel } from '../../../../backend/conversion/convert.ts'
import type { FormatWish } from '../../../../backend/conversion/format-wish.ts'
import type { Manifest } from '../../../../backend/graph/manifest.ts'
import type { ParallelSizes } from '../../../../backend/graph/shard-plan.ts'
import { weightDtypes } from '../../../../backend/graph/weight-format.ts'
import { loadTextFormat } from '../../../../backend/tokenizer/load-tokenizer.ts'
import { scratchPath } from '../scratch.ts'

export const oneRank: ParallelSizes = { tensorParallelSize: 1, pipelineParallelSize: 1 }

const int8Cache = '+int8-cache'

const weightFormats: ReadonlyMap<string, FormatWish> = new Map([
  ...weightDtypes.map((dtype): [string, FormatWish] => [dtype, { dtype, quantization: 'none' }]),
  ['int8', { dtype: 'float32', quantization: 'int8' }],
  ['int4', { dtype: 'float32', quantization: 'int4' }],
  [
    'int4+int4-embedding',
    { dtype: 'float32', quantization: 'int4', embeddingQuantization: 'int4' },
  ],
])

/** @throws Error that lists what there is */
const weightFormat = (name: string): FormatWish => {
  const format = weightFormats.get(name)
  if (format !== undefined) return format
  const known = [...weightFormats.keys()].join(', ')
  throw new Error(`there is no weight format ${JSON.stringify(name)}; there are ${known}`)
}

/**
 * `float32`, `float16`, `bfloat16`, `int8`, `int4`, `int4+int4-embedding`, each also with `+int8-cache` behind it.
 * @throws Error that lists the formats of weights
 */
export const parseFormat = (
  name: string,
): { readonly weights: FormatWish; readonly cacheDtype: CacheDtype } => {
  const hasInt8Cache = name.endsWith(int8Cache)
  const weights = weightFormat(hasInt8Cache ? name.slice(0, -int8Cache.length) : name)
  return { weights, cacheDtype: hasInt8Cache ? 'int8' : 'float32' }
}

/** Where the conversion of a model lies. */
export const conversionFolder = (
  model: string,
  format: string,
  { tensorParallelSize: T, pipelineParallelSize: P } = oneRank,
): string => {
  const hash = createHash('sha256').update(model).digest('hex').slice(0, 8)
  const weights = format.replace(int8Cache, '')
  return scratchPath('converted', `${basename(model)}-${hash}-${weights}-${T}-${P}`)
}

export type ConvertedModel = {
  readonly folder: string
  readonly manifest: Manifest
  readonly cacheDtype: CacheDtype
}

/**
 * Converts it unless that was done before.
 * @param model a folder or a .gguf file
 */
export const convertedModel = async (
  model: string,
  format: string,
  parallel: ParallelSizes = oneRank,
): Promise<ConvertedModel> => {
  const { weights, cacheDtype } = parseFormat(format)
  const folder = conversionFolder(model, format, parallel)
  const manifest = await convertModel(model, folder, { format: weights, parallel })
  if (cacheDtype === 'int8') {
    const { tokenizer } = await loadTextFormat(model)
    const { vocabSize } = manifest
    const options = { graphFolder: folder, modelFolder: model, vocabSize, intraOpNumThreads: 2 }
    await prepareInt8Cache(tokenizer, options)
  }
  return { folder, manifest, cacheDtype }
}
