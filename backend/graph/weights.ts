/** Which weights the decoder graph has, and which tensors of a checkpoint they are made of. */
import type { ModelConfig } from '../checkpoint/config.ts'
import { linearWeights } from './operators.ts'
import type { RotaryTable } from './rotary.ts'

export type SourceTensor = { readonly name: string; readonly shape: readonly number[] }

/** A float32 initialiser of the graph. */
export type Weight = {
  readonly name: string
  readonly dims: readonly number[]
  /** Tensors of the checkpoint, one after the other along the first dimension, or computed. */
  readonly source: readonly SourceTensor[] | RotaryTable
}

/** A weight made of whole checkpoint matrices [rows, columns], stacked: [all rows, columns]. */
const stack = (name: string, ...source: readonly SourceTensor[]): Weight => {
  const rows = source.reduce((sum, tensor) => sum + (tensor.shape[0] ?? 0), 0)
  return { name, dims: [rows, ...(source[0]?.shape.slice(1) ?? [])], source }
}

const layerWeights = (config: ModelConfig, layer: number): Weight[] => {
  const { hiddenSize: hidden, intermediateSize: ffn, headDim } = config
  const queries = config.numHeads * headDim
  const keys = config.numKvHeads * headDim
  const tensor = (name: string, ...shape: number[]): SourceTensor => ({
    name: `model.layers.${layer}.${name}`,
    shape,
  })
  /** A projection of `input` features: the checkpoint's modules, each with its number of features. */
  const linear = (
    name: string,
    input: number,
    modules: Readonly<Record<string, number>>,
    hasBias: boolean,
  ): Weight[] => {
    const all = Object.entries(modules)
    const matrices = all.map(([module, output]) => tensor(`${module}.weight`, output, input))
    const biases = all.map(([module, output]) => tensor(`${module}.bias`, output))
    const { matrix, bias } = linearWeights(`layers.${layer}.${name}`, hasBias)
    return [stack(matrix, ...matrices), ...(bias === null ? [] : [stack(bias, ...biases)])]
  }
  const scale = (name: string, module: string, size: number): Weight =>
    stack(`layers.${layer}.${name}`, tensor(`${module}.weight`, size))
  const headNorms = [
    scale('query_norm', 'self_attn.q_norm', headDim),
    scale('key_norm', 'self_attn.k_norm', headDim),
  ]
  const qkv = { 'self_attn.q_proj': queries, 'self_attn.k_proj': keys, 'self_attn.v_proj': keys }
  return [
    scale('attention_norm', 'input_layernorm', hidden),
    ...linear('qkv', hidden, qkv, config.hasQkvBias),
    ...(config.hasQueryKeyNorm ? headNorms : []),
    ...linear('output', queries, { 'self_attn.o_proj': hidden }, config.hasOutputBias),
    scale('mlp_norm', 'post_attention_layernorm', hidden),
    ...linear('gate', hidden, { 'mlp.gate_proj': ffn }, config.hasMlpBias),
    ...linear('up', hidden, { 'mlp.up_proj': ffn }, config.hasMlpBias),
    ...linear('down', ffn, { 'mlp.down_proj': hidden }, config.hasMlpBias),
  ]
}

/** All weights of the model, in the order in which they are stored. Matrices are [out, in]. */
export const decoderWeights = (config: ModelConfig): Weight[] => {
  const embedding = [config.vocabSize, config.hiddenSize]
  const rotaryDims = [config.maxPositions, config.headDim / 2]
  const layers = Array.from({ length: config.numLayers }, (_, layer) => layerWeights(config, layer))
  return [
    stack('embedding', { name: 'model.embed_tokens.weight', shape: embedding }),
    { name: 'rotary_cos', dims: rotaryDims, source: 'cos' },
    { name: 'rotary_sin', dims: rotaryDims, source: 'sin' },
    ...layers.flat(),
    stack('final_norm', { name: 'model.norm.weight', shape: [config.hiddenSize] }),
    ...(config.tiesEmbeddings ? [] : [stack('head', { name: 'lm_head.weight', shape: embedding })]),
  ]
}
