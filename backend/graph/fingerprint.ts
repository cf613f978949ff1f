/** Tells whether a model folder is still the one that was converted, without reading its weights. */
import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { basename } from 'node:path'
import type { RopeOverride } from '../checkpoint/rope-scaling.ts'
import { findWeightFiles } from '../checkpoint/weight-files.ts'
import { formatVersion } from './manifest.ts'
import type { ParallelSizes } from './shard-plan.ts'
import type { WeightFormat } from './weight-format.ts'

/**
 * A hash of the converter's version, the configuration's text, the options of the conversion and the
 * names, sizes and modification times of the weight files.
 * @throws ModelFolderError when there are no weights
 */
export const fingerprint = async (
  modelFolder: string,
  configText: string,
  options: ParallelSizes & WeightFormat & { readonly ropeOverride?: RopeOverride | undefined },
): Promise<string> => {
  const files = []
  for (const path of (await findWeightFiles(modelFolder)).paths) {
    const { size, mtimeMs } = await stat(path)
    files.push({ name: basename(path), size, mtimeMs })
  }
  const source = JSON.stringify({ formatVersion, configText, ...options, files })
  return createHash('sha256').update(source).digest('hex')
}
