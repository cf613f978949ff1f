/** In which form weights are wanted, and what holds where nothing is said. */
import type { ModelConfig } from '../checkpoint/config.ts'
import {
  defaultEmbeddingQuantization,
  isWholeBlocks,
  quantizationBlock,
  type Quantization,
  type WeightDtype,
  type WeightFormat,
} from '../graph/weight-format.ts'
import { ModelFolderError } from '../model-folder-error.ts'

export type FormatWish = {
  /** `auto`: the checkpoint's own where it is one, else float32. */
  readonly dtype: WeightDtype | 'auto'
  readonly quantization: Quantization
  /** Of embedding and output head; default: 8 bits where the layers are quantised. */
  readonly embeddingQuantization?: Quantization | undefined
}

/** Nothing is open but a dtype that the checkpoint decides. */
export type CompleteWish = FormatWish & Pick<WeightFormat, 'embeddingQuantization'>

/**
 * @param configPath where the sizes are from, for errors
 * @throws ModelFolderError for an embedding that cannot be quantised though this was asked for
 */
export const completeWish = (
  { dtype, quantization, embeddingQuantization: asked }: FormatWish,
  { hiddenSize }: Pick<ModelConfig, 'hiddenSize'>,
  configPath: string,
): CompleteWish => {
  if (asked && asked !== 'none' && !isWholeBlocks(hiddenSize)) {
    throw new ModelFolderError(
      configPath,
      `embedding and head have rows of its hidden size ${hiddenSize}, no whole blocks of ` +
        `${quantizationBlock} for ${asked}: leave out --embedding-quantization, and they stay as they are`,
    )
  }
  const embeddingQuantization = asked ?? defaultEmbeddingQuantization(quantization)
  return { dtype, quantization, embeddingQuantization }
}
