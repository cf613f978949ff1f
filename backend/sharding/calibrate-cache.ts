/** Measures the scales of an int8 KV cache: how large keys and values become in a model that runs. */
import type { CacheScales } from '../graph/cache-dtype.ts'
import { readManifest } from '../graph/manifest.ts'
import { openDecoder } from './sharded-decoder.ts'

/** The largest code of int8 that has its opposite. */
const largestCode = 127

/** Texts that were not measured have larger values in some channels; what is beyond is cut off. */
const headroom = 1.1

/**
 * Runs the texts through the model, with a float32 cache. Blocks its thread.
 * @param folder the converted model
 * @param texts of token ids; more than the model's context is left out
 * @throws ModelFolderError, OrtError
 */
export const calibrateCache = (
  folder: string,
  texts: readonly (readonly number[])[],
  intraOpNumThreads: number,
): CacheScales => {
  const { maxPositions, numLayers, numKvHeads, headDim } = readManifest(folder)
  const longest = texts.reduce((length, text) => Math.max(length, text.length), 1)
  const capacity = Math.min(maxPositions, longest)
  const length = numKvHeads * headDim
  const scales = Array.from({ length: numLayers }, () => ({
    keys: new Float32Array(length),
    values: new Float32Array(length),
  }))
  const raise = (scale: Float32Array, maxima: Float32Array): void => {
    for (const [channel, largest] of maxima.entries()) {
      scale[channel] = Math.max(scale[channel]!, (largest * headroom) / largestCode)
    }
  }
  const decoder = openDecoder(folder, { slots: 1, capacity, intraOpNumThreads })
  try {
    for (const text of texts) {
      const tokens = text.slice(0, capacity)
      if (tokens.length === 0) continue
      decoder.prefill(0, 0, tokens)
      for (const [layer, { keys, values }] of decoder.cacheMaxima(0, tokens.length).entries()) {
        raise(scales[layer]!.keys, keys)
        raise(scales[layer]!.values, values)
      }
    }
  } finally {
    decoder.close()
  }
  for (const { keys } of scales) shareOverPairs(keys, headDim)
  // A channel that was always zero: any scale will do but zero, by which codes are divided.
  for (const { keys, values } of scales) {
    for (const scale of [keys, values]) {
      for (const [channel, value] of scale.entries())
        if (value === 0) scale[channel] = 1 / largestCode
    }
  }
  return scales
}

/**
 * Keys are cached rotated: at some position or other, later than any that was measured, each channel has
 * the length of the pair that it is rotated with.
 */
const shareOverPairs = (keys: Float32Array, headDim: number): void => {
  const half = headDim / 2
  for (let begin = 0; begin < keys.length; begin += headDim) {
    for (let i = begin; i < begin + half; i++) {
      keys[i] = keys[i + half] = Math.hypot(keys[i]!, keys[i + half]!)
    }
  }
}
