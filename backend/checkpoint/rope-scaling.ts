/**
 * Reads the rotary embedding's base and scaling from config.json, in both of its forms: `rope_theta`
 * and `rope_scaling` on top, or all in `rope_parameters` (transformers 5). Names, defaults and
 * precedence follow transformers' modeling_rope_utils.py; what it only warns about is refused.
 */
import { isFields, type Fields } from '../../shared/parse.ts'
import type { JsonFile } from './json-file.ts'

export const scalingTypes = ['linear', 'dynamic', 'yarn', 'llama3'] as const

export type RopeScalingType = (typeof scalingTypes)[number]

/** Scaling that replaces the config's; other parameters of its type stay as the config has them. */
export type RopeOverride = { readonly type: RopeScalingType; readonly factor: number }

/** `originalPositions`: the sequence length before scaling. rotary-frequencies.ts has the formulas. */
export type RopeScaling =
  | { readonly type: 'linear'; readonly factor: number }
  | { readonly type: 'dynamic'; readonly factor: number; readonly originalPositions: number }
  | {
      readonly type: 'yarn'
      readonly factor: number
      readonly originalPositions: number
      readonly betaFast: number
      readonly betaSlow: number
      /** Multiplies cosine and sine. */
      readonly attentionFactor: number
      /** The ramp's ends are whole dimensions. */
      readonly truncates: boolean
    }
  | {
      readonly type: 'llama3'
      readonly factor: number
      readonly originalPositions: number
      readonly lowFrequencyFactor: number
      readonly highFrequencyFactor: number
    }

export type Rope = { readonly theta: number; readonly scaling: RopeScaling | null }

/** Llama 3.1's own, for a config that says nothing. */
const llama3Overridden = { low_freq_factor: 1, high_freq_factor: 4 }

const isScalingType = (type: unknown): type is RopeScalingType =>
  scalingTypes.some((known) => known === type)

/** The factor of the paper, section 3.4, and DeepSeek's ratio of two of them. */
const yarnAttentionFactor = (file: JsonFile, fields: Fields, factor: number): number => {
  const given = file.positive('attention_factor', fields)
  if (given !== undefined) return given
  const growth = (mscale: number): number => (factor > 1 ? 0.1 * mscale * Math.log(factor) + 1 : 1)
  const mscale = file.positive('mscale', fields)
  const allDims = file.positive('mscale_all_dim', fields)
  return mscale !== undefined && allDims !== undefined
    ? growth(mscale) / growth(allDims)
    : growth(1)
}

const readFactor = (file: JsonFile, type: RopeScalingType, fields: Fields): number => {
  const factor = file.positive('factor', fields)
  if (factor === undefined) throw file.error(`rotary scaling '${type}' needs a factor`)
  if (factor < 1) throw file.error(`rotary scaling's factor must be 1 or more, not ${factor}`)
  return factor
}

const readScaling = (
  file: JsonFile,
  type: RopeScalingType,
  fields: Fields,
  maxPositionEmbeddings: number,
): RopeScaling => {
  const original = 'original_max_position_embeddings'
  const originalPositions =
    file.count(original) ?? file.count(original, fields) ?? maxPositionEmbeddings
  switch (type) {
    case 'linear':
      return { type, factor: readFactor(file, type, fields) }
    case 'dynamic':
      return {
        type,
        factor: readFactor(file, type, fields),
        originalPositions: maxPositionEmbeddings,
      }
    case 'yarn': {
      // A length that the config counts as scaled already says the factor too.
      const ratio = maxPositionEmbeddings / originalPositions
      const implied = ratio > 1 ? ratio : undefined
      const factor = readFactor(file, type, { ...fields, factor: fields.factor ?? implied })
      const betaFast = file.positive('beta_fast', fields) ?? 32
      const betaSlow = file.positive('beta_slow', fields) ?? 1
      if (betaFast < betaSlow) {
        throw file.error(`beta_fast ${betaFast} must not be below beta_slow ${betaSlow}`)
      }
      const attentionFactor = yarnAttentionFactor(file, fields, factor)
      const truncates = file.boolean('truncate', fields) ?? true
      return { type, factor, originalPositions, betaFast, betaSlow, attentionFactor, truncates }
    }
    case 'llama3': {
      const factor = readFactor(file, type, fields)
      const lowFrequencyFactor = file.positive('low_freq_factor', fields)
      const highFrequencyFactor = file.positive('high_freq_factor', fields)
      if (lowFrequencyFactor === undefined || highFrequencyFactor === undefined) {
        throw file.error("rotary scaling 'llama3' needs low_freq_factor and high_freq_factor")
      }
      if (highFrequencyFactor <= lowFrequencyFactor) {
        throw file.error(
          `high_freq_factor ${highFrequencyFactor} must be above low_freq_factor ${lowFrequencyFactor}`,
        )
      }
      return { type, factor, originalPositions, lowFrequencyFactor, highFrequencyFactor }
    }
  }
}

/** @throws ModelFolderError for parameters that are wrong, missing or of an unknown type */
export const readRope = (
  file: JsonFile,
  maxPositionEmbeddings: number,
  override?: RopeOverride,
): Rope => {
  const parameters = file.object('rope_parameters')
  const given = file.object('rope_scaling') ?? parameters ?? {}
  if (Object.values(given).some(isFields)) {
    throw file.error('rotary parameters that differ by layer are not supported')
  }
  const rotatedPart = given.partial_rotary_factor ?? file.fields.partial_rotary_factor ?? 1
  if (rotatedPart !== 1) throw file.error('partial_rotary_factor is not supported')
  const theta =
    file.positive('rope_theta', given) ??
    file.positive('rope_theta', parameters ?? {}) ??
    file.positive('rope_theta') ??
    10_000
  const fields = override === undefined ? given : { ...llama3Overridden, ...given, ...override }
  const type = override?.type ?? given.rope_type ?? given.type ?? 'default'
  if (type === 'default') return { theta, scaling: null }
  if (isScalingType(type)) {
    return { theta, scaling: readScaling(file, type, fields, maxPositionEmbeddings) }
  }
  throw file.error(
    `rotary scaling '${String(type)}' is not supported; known are ${scalingTypes.join(', ')}`,
  )
}

/**
 * The longest sequence with scaling, by vLLM's rules: `max_position_embeddings` is the length before
 * linear and dynamic scaling, and the one after llama3's and yarn's unless that is longer.
 */
export const scaledPositions = (
  scaling: RopeScaling | null,
  maxPositionEmbeddings: number,
): number => {
  switch (scaling?.type) {
    case undefined:
      return maxPositionEmbeddings
    case 'linear':
    case 'dynamic':
      return Math.floor(maxPositionEmbeddings * scaling.factor)
    case 'yarn':
      return Math.max(maxPositionEmbeddings, Math.floor(scaling.originalPositions * scaling.factor))
    case 'llama3':
      return scaling.originalPositions < maxPositionEmbeddings
        ? maxPositionEmbeddings
        : Math.floor(scaling.originalPositions * scaling.factor)
  }
}
