/**
 * Reads config.json of a Hugging Face Llama checkpoint. Field names and the defaults of fields left
 * out follow `LlamaConfig` of transformers; what Burrow cannot compute is refused by name.
 */
import { JsonFile } from './json-file.ts'

export type LlamaConfig = {
  readonly hiddenSize: number
  readonly intermediateSize: number
  readonly numLayers: number
  readonly numHeads: number
  readonly numKvHeads: number
  readonly headDim: number
  readonly vocabSize: number
  /** The longest sequence that the model was made for, in tokens. */
  readonly maxPositions: number
  readonly rmsNormEpsilon: number
  readonly ropeTheta: number
  /** The output head is the embedding. */
  readonly tiesEmbeddings: boolean
  readonly bosToken: number | null
  /** Any of them ends a generation. */
  readonly eosTokens: readonly number[]
}

const architecture = 'LlamaForCausalLM'

/** What GroupQueryAttention demands when it also does the rotary embedding. */
const headDimMultiple = 16

const requireArchitecture = (file: JsonFile): void => {
  const { architectures } = file.fields
  const names: readonly unknown[] = Array.isArray(architectures) ? architectures : []
  if (names.includes(architecture)) return
  const found = names.length === 0 ? 'no architecture is named' : `${names.join(', ')} is unknown`
  throw file.error(`${found}; only ${architecture} is supported`)
}

const refuseUnsupported = (file: JsonFile): void => {
  const activation = file.fields.hidden_act ?? 'silu'
  if (activation !== 'silu') {
    throw file.error(`hidden_act '${String(activation)}' is not supported; only 'silu' is`)
  }
  for (const name of ['attention_bias', 'mlp_bias']) {
    if (file.boolean(name) ?? false) throw file.error(`${name} is not supported`)
  }
  if (file.object('quantization_config') !== undefined) {
    throw file.error('a quantised checkpoint is not supported: use the original weights')
  }
}

/** `rope_parameters` since transformers 5; before it `rope_theta` and `rope_scaling`. */
const readRopeTheta = (file: JsonFile): number => {
  const rope = file.object('rope_parameters') ?? file.object('rope_scaling')
  const type = rope?.rope_type ?? rope?.type ?? 'default'
  if (type !== 'default') {
    throw file.error(`rotary scaling '${String(type)}' is not supported; only 'default' is`)
  }
  const rotatedPart = rope?.partial_rotary_factor ?? file.fields.partial_rotary_factor ?? 1
  if (rotatedPart !== 1) throw file.error('partial_rotary_factor is not supported')
  return file.positiveIn(rope, 'rope_theta') ?? file.positive('rope_theta') ?? 10_000
}

const checkSizes = (file: JsonFile, config: LlamaConfig): void => {
  const { hiddenSize, numHeads, numKvHeads, headDim, vocabSize } = config
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
  const foreign = [...config.eosTokens, config.bosToken ?? 0].find((token) => token >= vocabSize)
  if (foreign !== undefined) {
    throw file.error(`token id ${foreign} is not below vocab_size ${vocabSize}`)
  }
}

/**
 * @param path config.json's, for errors
 * @param text its content
 * @throws ModelFolderError that names the field at fault
 */
export const parseConfig = (path: string, text: string): LlamaConfig => {
  const file = new JsonFile(path, text)
  requireArchitecture(file)
  refuseUnsupported(file)
  const hiddenSize = file.requiredCount('hidden_size')
  const numHeads = file.requiredCount('num_attention_heads')
  const config: LlamaConfig = {
    hiddenSize,
    intermediateSize: file.requiredCount('intermediate_size'),
    numLayers: file.requiredCount('num_hidden_layers'),
    numHeads,
    numKvHeads: file.count('num_key_value_heads') ?? numHeads,
    headDim: file.count('head_dim') ?? hiddenSize / numHeads,
    vocabSize: file.requiredCount('vocab_size'),
    maxPositions: file.count('max_position_embeddings') ?? 2048,
    rmsNormEpsilon: file.positive('rms_norm_eps') ?? 1e-6,
    ropeTheta: readRopeTheta(file),
    tiesEmbeddings: file.boolean('tie_word_embeddings') ?? false,
    bosToken: file.tokenIds('bos_token_id')[0] ?? null,
    eosTokens: file.tokenIds('eos_token_id'),
  }
  checkSizes(file, config)
  return config
}
