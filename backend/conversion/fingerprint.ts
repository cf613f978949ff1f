/** Tells whether a model is still the one that was converted, without reading its weights. */
import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { findWeightFiles } from '../checkpoint/weight-files.ts'
import { formatVersion } from '../graph/manifest.ts'

/**
 * A hash of the converter's version, the options of the conversion, the texts that go into it and the
 * names, sizes and modification times of the weight files.
 * @param options plain data
 * @throws ModelFolderError when there are no weights
 */
export const fingerprint = async (
  modelFolder: string,
  options: object,
  texts: Iterable<readonly [name: string, text: string | Uint8Array]>,
): Promise<string> => {
  const files = []
  for (const path of (await findWeightFiles(modelFolder)).paths) {
    const { size, mtimeMs } = await stat(path)
    files.push({ name: basename(path), size, mtimeMs })
  }
  const hash = createHash('sha256').update(JSON.stringify({ formatVersion, options, files }))
  for (const [name, text] of texts) {
    hash.update(`\n${name} ${text.length}\n`).update(text)
  }
  return hash.digest('hex')
}
