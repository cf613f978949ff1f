/** Tells whether a model folder is still the one that was converted, without reading its weights. */
import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { weightFiles } from '../checkpoint/checkpoint.ts'
import type { RopeOverride } from '../checkpoint/rope-scaling.ts'
import { formatVersion } from './manifest.ts'
import type { ParallelSizes } from './shard-plan.ts'

/**
 * A hash of the converter's version, config.json's text, the options of the conversion and the names,
 * sizes and modification times of the weight files.
 * @throws ModelFolderError when there are no weights
 */
export const fingerprint = async (
  modelFolder: string,
  configText: string,
  options: ParallelSizes & { readonly ropeOverride?: RopeOverride | undefined },
): Promise<string> => {
  const files = []
  for (const name of await weightFiles(modelFolder)) {
    const { size, mtimeMs } = await stat(join(modelFolder, name))
    files.push({ name, size, mtimeMs })
  }
  const source = JSON.stringify({ formatVersion, configText, ...options, files })
  return createHash('sha256').update(source).digest('hex')
}
