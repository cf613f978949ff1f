/** Which weights the decoder graph has, and which tensors of a Llama checkpoint they are made of. */
import type { LlamaConfig } from '../checkpoint/config.ts'
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

const layerWeights = (config: LlamaConfig, layer: number): Weight[] => {
  const { hiddenSize: hidden, intermediateSize: ffn, headDim } = config
  const queries = config.numHeads * headDim
  const keys = config.numKvHeads * headDim
  const tensor = (name: string, ...shape: number[]): SourceTensor => ({
    name: `model.layers.${layer}.${name}.weight`,
    shape,
  })
  return [
    stack(`layers.${layer}.attention_norm`, tensor('input_layernorm', hidden)),
    stack(
      `layers.${layer}.qkv`,
      tensor('self_attn.q_proj', queries, hidden),
      tensor('self_attn.k_proj', keys, hidden),
      tensor('self_attn.v_proj', keys, hidden),
    ),
    stack(`layers.${layer}.output`, tensor('self_attn.o_proj', hidden, queries)),
    stack(`layers.${layer}.mlp_norm`, tensor('post_attention_layernorm', hidden)),
    stack(`layers.${layer}.gate`, tensor('mlp.gate_proj', ffn, hidden)),
    stack(`layers.${layer}.up`, tensor('mlp.up_proj', ffn, hidden)),
    stack(`layers.${layer}.down`, tensor('mlp.down_proj', hidden, ffn)),
  ]
}

/** All weights of the model, in the order in which they are stored. Matrices are [out, in]. */
export const decoderWeights = (config: LlamaConfig): Weight[] => {
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
