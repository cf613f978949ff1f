/** Makes a converted model ready for an int8 KV cache, once: its scales are measured on a few texts. */
import { access, constants, realpath } from 'node:fs/promises'
import { withFolderLock } from '../conversion/folder-lock.ts'
import { hasInt8Cache, writeInt8Cache } from '../graph/int8-cache.ts'
import { ModelFolderError } from '../model-folder-error.ts'
import { calibrateCache } from '../sharding/calibrate-cache.ts'
import type { EngineThreadData } from './messages.ts'

type Converted = Pick<
  EngineThreadData,
  | 'graphFolder'
  | 'modelFolder'
  | 'ropeOverride'
  | 'vocabSize'
  | 'intraOpNumThreads'
  | 'calibrationTokens'
>

/** @throws ModelFolderError, OrtError */
export const prepareInt8Cache = async (model: Converted): Promise<void> => {
  const { graphFolder } = model
  if (hasInt8Cache(graphFolder)) return
  try {
    await access(graphFolder, constants.W_OK)
  } catch {
    throw new ModelFolderError(
      graphFolder,
      'it is read-only, and has no graphs for an int8 KV cache yet: serve it once where it can be written, or without --kv-cache-dtype',
    )
  }
  // A conversion to the same folder must not replace the weights meanwhile.
  await withFolderLock(`${await realpath(graphFolder)}.lock`, { onWait: () => {} }, async () => {
    if (!hasInt8Cache(graphFolder)) await measureAndWrite(model)
  })
}

const measureAndWrite = async ({
  graphFolder,
  modelFolder,
  ropeOverride,
  vocabSize,
  intraOpNumThreads,
  calibrationTokens,
}: Converted): Promise<void> => {
  const texts = calibrationTokens.map((tokens) =>
    // Some tokenizers know tokens that their model has no row for.
    tokens.filter((token) => token < vocabSize),
  )
  if (texts.every((text) => text.length === 0)) {
    throw new ModelFolderError(
      modelFolder,
      'its tokenizer knows no token of the texts that the int8 KV cache is measured with: serve it without --kv-cache-dtype',
    )
  }
  const scales = calibrateCache(graphFolder, texts, intraOpNumThreads)
  await writeInt8Cache(graphFolder, { modelFolder, ropeOverride }, scales)
}
