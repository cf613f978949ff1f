/**
 * Reads config.json of a Hugging Face checkpoint. Field names and the defaults of fields left out
 * follow the architecture's configuration in transformers; what Burrow cannot compute is refused by
 * name.
 */
import { readArchitecture, type Variant } from './architectures.ts'
import { JsonFile } from './json-file.ts'
import { readRope, scaledPositions, type Rope, type RopeOverride } from './rope-scaling.ts'

export type ModelConfig = Variant & {
  readonly hiddenSize: number
  readonly intermediateSize: number
  readonly numLayers: number
  readonly numHeads: number
  readonly numKvHeads: number
  readonly headDim: number
  readonly vocabSize: number
  /** The longest sequence that the model can take, with its rotary scaling, in tokens. */
  readonly maxPositions: number
  readonly rmsNormEpsilon: number
  readonly rope: Rope
  /** The output head is the embedding. */
  readonly tiesEmbeddings: boolean
  readonly bosToken: number | null
  /** Any of them ends a generation. */
  readonly eosTokens: readonly number[]
}

/** What GroupQueryAttention demands when it also does the rotary embedding. */
const headDimMultiple = 16

/** Angles are float32, in which every whole number up to this one has a place. */
const positionLimit = 2 ** 24

/** Lists are made with an entry a layer; known models have up to 126. */
const layerLimit = 4096

const refuseUnsupported = (file: JsonFile): void => {
  const activation = file.fields.hidden_act ?? 'silu'
  if (activation !== 'silu') {
    throw file.error(`hidden_act '${String(activation)}' is not supported; only 'silu' is`)
  }
  if (file.object('quantization_config') !== undefined) {
    throw file.error('a quantised checkpoint is not supported: use the original weights')
  }
}

const checkSizes = (file: JsonFile, config: ModelConfig): void => {
  const { hiddenSize, numHeads, numKvHeads, headDim, vocabSize, maxPositions } = config
  if (numHeads % numKvHeads !== 0) {
    throw file.error(
      `num_attention_heads ${numHeads} is no multiple of num_key_value_heads ${numKvHeads}`,
    )
  }
  if (!Number.isInteger(headDim)) {
    throw file.error(
      `head_dim is missing, and hidden_size ${hiddenSize} is no multiple of num_attention_heads ${numHeads}`,
    )
  }
  if (headDim % headDimMultiple !== 0) {
    throw file.error(
      `head_dim ${headDim} is no multiple of ${headDimMultiple}, which rotary attention needs`,
    )
  }
  if (maxPositions > positionLimit) {
    throw file.error(
      `${maxPositions} positions are more than the ${positionLimit} that can be told apart`,
    )
  }
  const foreign = [...config.eosTokens, config.bosToken ?? 0].find((token) => token >= vocabSize)
  if (foreign !== undefined) {
    throw file.error(`token id ${foreign} is not below vocab_size ${vocabSize}`)
  }
}

/**
 * @param path config.json's, for errors
 * @param text its content
 * @param ropeOverride replaces the config's rotary scaling
 * @throws ModelFolderError that names the field at fault
 */
export const parseConfig = (
  path: string,
  text: string,
  ropeOverride?: RopeOverride,
): ModelConfig => {
  const file = new JsonFile(path, text)
  const { defaults, readVariant } = readArchitecture(file)
  refuseUnsupported(file)
  const hiddenSize = file.requiredCount('hidden_size')
  const numLayers = file.requiredCount('num_hidden_layers')
  if (numLayers > layerLimit) {
    throw file.error(`num_hidden_layers ${numLayers} is more than the ${layerLimit} supported`)
  }
  const numHeads = file.requiredCount('num_attention_heads')
  // In transformers null is no default, but means plain multi-head attention.
  const defaultKvHeads = file.fields.num_key_value_heads === null ? undefined : defaults.numKvHeads
  const maxPositionEmbeddings = file.count('max_position_embeddings') ?? defaults.maxPositions
  const rope = readRope(file, maxPositionEmbeddings, ropeOverride)
  const config: ModelConfig = {
    ...readVariant(file, numLayers),
    hiddenSize,
    intermediateSize: file.requiredCount('intermediate_size'),
    numLayers,
    numHeads,
    numKvHeads: file.count('num_key_value_heads') ?? defaultKvHeads ?? numHeads,
    headDim: file.count('head_dim') ?? defaults.headDim ?? hiddenSize / numHeads,
    vocabSize: file.requiredCount('vocab_size'),
    maxPositions: scaledPositions(rope.scaling, maxPositionEmbeddings),
    rmsNormEpsilon: file.positive('rms_norm_eps') ?? 1e-6,
    rope,
    tiesEmbeddings: file.boolean('tie_word_embeddings') ?? false,
    bosToken: file.tokenIds('bos_token_id')[0] ?? null,
    eosTokens: file.tokenIds('eos_token_id'),
  }
  checkSizes(file, config)
  return config
}
