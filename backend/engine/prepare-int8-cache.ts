/** Makes a converted model ready for an int8 KV cache, once: its scales are measured on a few texts. */
import { hasInt8Cache, writeInt8Cache } from '../graph/int8-cache.ts'
import { calibrateCache } from '../sharding/calibrate-cache.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import { calibrationTexts } from './calibration-texts.ts'
import type { EngineThreadData } from './messages.ts'

/** @throws ModelFolderError, OrtError */
export const prepareInt8Cache = async (
  tokenizer: Tokenizer,
  {
    graphFolder,
    modelFolder,
    ropeOverride,
    vocabSize,
    intraOpNumThreads,
  }: Pick<
    EngineThreadData,
    'graphFolder' | 'modelFolder' | 'ropeOverride' | 'vocabSize' | 'intraOpNumThreads'
  >,
): Promise<void> => {
  if (hasInt8Cache(graphFolder)) return
  const texts = calibrationTexts.map((text) =>
    // Some tokenizers know tokens that their model has no row for.
    tokenizer.encode(text, true).filter((token) => token < vocabSize),
  )
  const scales = calibrateCache(graphFolder, texts, intraOpNumThreads)
  await writeInt8Cache(graphFolder, { modelFolder, ropeOverride }, scales)
}
