/**
 * In which numbers the KV cache holds keys and values. int8 takes a quarter of the memory and, at long
 * contexts, about half the time of a step; each channel of a head then has one scale for all positions,
 * measured beforehand (sharding/calibrate-cache.ts).
 */
export const cacheDtypes = ['float32', 'int8'] as const
export type CacheDtype = (typeof cacheDtypes)[number]

/** Of one number in the cache. */
export const cacheBytes = { float32: 4, int8: 1 } as const satisfies Record<CacheDtype, number>

/** What one code is worth, of each channel of each head of a layer: value = code · scale. */
export type LayerScales = {
  /** [numKvHeads, headDim] */
  readonly keys: Float32Array
  /** [numKvHeads, headDim] */
  readonly values: Float32Array
}

/** One for each layer of the model. */
export type CacheScales = readonly LayerScales[]
