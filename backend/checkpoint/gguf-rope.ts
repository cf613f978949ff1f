/**
 * The rotary settings of a GGUF file as config.json has them. Of Llama 3's scaling GGUF keeps only
 * what it comes to, a factor for each frequency in the tensor `rope_freqs.weight`.
 */
import type { GgufMetadata } from './gguf-metadata.ts'

type RopeFields = { readonly rope_theta: number; readonly rope_scaling: object | null }

/** What all published Llama 3 models have; `factor` differs. */
const llama3 = {
  rope_type: 'llama3',
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 8192,
} as const

/** Keys after `rope.scaling.` that are understood; `finetuned` is only information. */
const knownKeys: readonly string[] = [
  'type',
  'factor',
  'original_context_length',
  'finetuned',
  'yarn_beta_fast',
  'yarn_beta_slow',
]

/** The decimal that a float32 was written as: 0.00001, not 0.000009999999747378752. */
export const shortestDecimal = (value: number): number => {
  for (let digits = 1; digits < 9; digits++) {
    const decimal = Number(value.toPrecision(digits))
    if (Math.fround(decimal) === value) return decimal
  }
  return value
}

/** By how much Llama 3's scaling divides frequency `i`, as llama.cpp's converter computes it. */
const llama3Divisor = (i: number, headDim: number, theta: number, factor: number): number => {
  const {
    low_freq_factor: low,
    high_freq_factor: high,
    original_max_position_embeddings: length,
  } = llama3
  const wavelength = 2 * Math.PI * theta ** ((2 * i) / headDim)
  if (wavelength < length / high) return 1
  if (wavelength > length / low) return factor
  const smooth = (length / wavelength - low) / (high - low)
  return 1 / ((1 - smooth) / factor + smooth)
}

/** @throws ModelFolderError unless the divisors are those of Llama 3's scaling */
const llama3Scaling = (
  metadata: GgufMetadata,
  divisors: Float32Array,
  headDim: number,
  theta: number,
): object => {
  const factor = shortestDecimal(divisors.reduce((max, divisor) => Math.max(max, divisor), 1))
  const isLlama3 = divisors.every((divisor, i) => {
    const expected = llama3Divisor(i, headDim, theta, factor)
    return Math.abs(divisor - expected) <= 1e-4 * expected
  })
  if (isLlama3 && divisors.length === headDim / 2) return { ...llama3, factor }
  throw metadata.error('its rope_freqs.weight is not of the scaling of Llama 3, the only one known')
}

const scaling = (metadata: GgufMetadata, architecture: string): object | null => {
  const prefix = `${architecture}.rope.scaling.`
  const unknown = metadata.keys.find(
    (key) => key.startsWith(prefix) && !knownKeys.includes(key.slice(prefix.length)),
  )
  if (unknown !== undefined) throw metadata.error(`${unknown} is not supported`)
  const linear = metadata.number(`${architecture}.rope.scale_linear`)
  const factor = metadata.number(`${prefix}factor`) ?? linear
  const type = metadata.string(`${prefix}type`) ?? (linear === undefined ? 'none' : 'linear')
  if (type === 'none') return null
  const decimals = {
    factor,
    beta_fast: metadata.number(`${prefix}yarn_beta_fast`),
    beta_slow: metadata.number(`${prefix}yarn_beta_slow`),
  }
  const original = metadata.index(`${prefix}original_context_length`)
  return {
    rope_type: type,
    ...Object.fromEntries(
      Object.entries(decimals).flatMap(([name, value]) =>
        value === undefined ? [] : [[name, shortestDecimal(value)]],
      ),
    ),
    ...(original === undefined ? {} : { original_max_position_embeddings: original }),
  }
}

/**
 * @param architecture GGUF's name of it
 * @param divisors what `rope_freqs.weight` holds; null where there is none
 * @throws ModelFolderError for a scaling that cannot be expressed
 */
export const ropeFields = (
  metadata: GgufMetadata,
  architecture: string,
  headDim: number,
  divisors: Float32Array | null,
): RopeFields => {
  const theta = shortestDecimal(metadata.number(`${architecture}.rope.freq_base`) ?? 10_000)
  const named = scaling(metadata, architecture)
  // All ones: written for models whose factor is 1.
  if (divisors === null || divisors.every((divisor) => divisor === 1)) {
    return { rope_theta: theta, rope_scaling: named }
  }
  if (named !== null) {
    throw metadata.error(`it has both ${architecture}.rope.scaling and rope_freqs.weight`)
  }
  return { rope_theta: theta, rope_scaling: llama3Scaling(metadata, divisors, headDim, theta) }
}
