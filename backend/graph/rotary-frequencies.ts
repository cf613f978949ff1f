/**
 * The rotary embedding's frequencies under each scaling, by the formulas of transformers'
 * modeling_rope_utils.py. They round to float32 at the same steps: what one bit of a frequency is
 * worth grows with the position.
 */
import type { ModelConfig } from '../checkpoint/config.ts'
import type { RopeScaling } from '../checkpoint/rope-scaling.ts'

export type RotaryFrequencies = {
  /** [headDim / 2], in radians a position. */
  readonly frequencies: Float32Array
  /** Multiplies cosine and sine. */
  readonly amplitude: number
}

const f32 = Math.fround

/** `base ^ (2i / headDim)`, the inverse of each frequency. */
const periods = (base: number, headDim: number): Float32Array =>
  Float32Array.from({ length: headDim / 2 }, (_, i) => f32(base) ** f32((2 * i) / headDim))

type Of<Type extends RopeScaling['type']> = Extract<RopeScaling, { readonly type: Type }>

/**
 * NTK-aware scaling raises the base by how much longer than the original the sequence is. Here the
 * sequence always counts as long as the longest that can be served, as in vLLM: a base that grew with
 * the sequence, as in transformers, would rotate new keys otherwise than those in the cache. The two
 * agree for a sequence of full length.
 */
const dynamicBase = (
  base: number,
  headDim: number,
  { factor, originalPositions }: Of<'dynamic'>,
  maxPositions: number,
): number => {
  const growth = (factor * maxPositions) / originalPositions - (factor - 1)
  return f32(base * growth ** (headDim / (headDim - 2)))
}

/** arXiv:2309.00071: high frequencies stay, low ones are divided, a ramp over the dimensions between. */
const yarn = (base: number, headDim: number, scaling: Of<'yarn'>): Float32Array => {
  /** The dimension that turns so often within the original length. */
  const dimension = (turns: number): number =>
    (headDim * Math.log(scaling.originalPositions / (turns * 2 * Math.PI))) / (2 * Math.log(base))
  const [fast, slow] = [dimension(scaling.betaFast), dimension(scaling.betaSlow)]
  const low = Math.max(scaling.truncates ? Math.floor(fast) : fast, 0)
  const high = Math.min(scaling.truncates ? Math.ceil(slow) : slow, headDim - 1)
  const width = f32(low === high ? 0.001 : high - low)
  return periods(base, headDim).map((period, i) => {
    const ramp = Math.min(Math.max(f32(f32(i - f32(low)) / width), 0), 1)
    const kept = f32(1 - ramp)
    const divided = f32(1 / f32(f32(scaling.factor) * period))
    return f32(divided * f32(1 - kept)) + f32(f32(1 / period) * kept)
  })
}

/** Llama 3.1: as yarn, but the ramp runs over the wavelengths. */
const llama3 = (base: number, headDim: number, scaling: Of<'llama3'>): Float32Array => {
  const { factor, originalPositions, lowFrequencyFactor: low, highFrequencyFactor: high } = scaling
  return periods(base, headDim).map((period) => {
    const frequency = f32(1 / period)
    const wavelength = f32((2 * Math.PI) / frequency)
    if (wavelength < originalPositions / high) return frequency
    if (wavelength > originalPositions / low) return frequency / factor
    const smooth = f32(f32(f32(originalPositions / wavelength) - low) / (high - low))
    return f32(f32(f32(1 - smooth) * frequency) / factor) + f32(smooth * frequency)
  })
}

export const rotaryFrequencies = ({
  rope: { theta, scaling },
  headDim,
  maxPositions,
}: Pick<ModelConfig, 'rope' | 'headDim' | 'maxPositions'>): RotaryFrequencies => {
  const plain = (base: number): Float32Array => periods(base, headDim).map((period) => 1 / period)
  switch (scaling?.type) {
    case undefined:
      return { frequencies: plain(theta), amplitude: 1 }
    case 'linear':
      return { frequencies: plain(theta).map((f) => f / scaling.factor), amplitude: 1 }
    case 'dynamic':
      return {
        frequencies: plain(dynamicBase(theta, headDim, scaling, maxPositions)),
        amplitude: 1,
      }
    case 'yarn':
      return { frequencies: yarn(theta, headDim, scaling), amplitude: scaling.attentionFactor }
    case 'llama3':
      return { frequencies: llama3(theta, headDim, scaling), amplitude: 1 }
  }
}
