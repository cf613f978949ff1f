/**
 * A layer's attention: projections, norms of the heads where the model has them, and
 * com.microsoft.GroupQueryAttention, which rotates, appends to the KV cache and attends. All sizes
 * are by heads, so a share of the heads is a smaller attention whose outputs add up.
 */
import type { ModelConfig } from '../checkpoint/config.ts'
import type { Attribute, Initializer, Node } from '../onnx/model.ts'
import type { CacheDtype, LayerScales } from './cache-dtype.ts'
import { linear, type Matrices } from './linear.ts'
import { contrib, int64, norm } from './operators.ts'
import { biasName } from './weights.ts'

/** The input and output names of one layer's keys and values. */
export const cacheNames = (layer: number) => ({
  past: { key: `past.${layer}.key`, value: `past.${layer}.value` },
  present: { key: `present.${layer}.key`, value: `present.${layer}.value` },
})

/** The initialisers with the scales of a layer's cache, where it is quantised. */
const scaleNames = (layer: number) => ({
  keys: `layers.${layer}.key_scale`,
  values: `layers.${layer}.value_scale`,
})

/** @param scales of the heads that are there */
export const cacheScaleInitializers = (
  { headDim }: Pick<ModelConfig, 'headDim'>,
  layer: number,
  { keys, values }: LayerScales,
): Initializer[] => {
  const names = scaleNames(layer)
  return [[names.keys, keys] as const, [names.values, values] as const].map(
    ([name, { length, buffer, byteOffset, byteLength }]) => ({
      name,
      type: 'float32',
      dims: [length / headDim, 1, headDim],
      data: new Uint8Array(buffer, byteOffset, byteLength),
    }),
  )
}

/** Shapes that the norms of query and key heads need; 0 keeps a dimension as it is. */
export const attentionShapes = (config: ModelConfig): Initializer[] => {
  if (!config.hasQueryKeyNorm) return []
  const { numHeads, numKvHeads, headDim } = config
  const [queries, keys] = [numHeads * headDim, numKvHeads * headDim]
  return [
    int64('qkv_sizes', queries, keys, keys),
    int64('heads_apart', 0, 0, -1, headDim),
    int64('heads_joined', 0, 0, -1),
  ]
}

/** `y` is x [batch, sequence, heads · headDim] with each head normed by itself. */
const normHeads = (x: string, scale: string, y: string, epsilon: number): Node[] => [
  { operator: 'Reshape', inputs: [x, 'heads_apart'], outputs: [`${x}.heads`] },
  norm(`${x}.heads`, scale, `${y}.heads`, epsilon),
  { operator: 'Reshape', inputs: [`${y}.heads`, 'heads_joined'], outputs: [y] },
]

/**
 * GroupQueryAttention has inputs for these norms too, but none of its CPU kernels takes them.
 * @returns the names of query, key and value
 */
const normedQkv = (
  config: ModelConfig,
  at: (name: string) => string,
): { readonly nodes: Node[]; readonly names: readonly string[] } => {
  const parts = [at('query'), at('key'), at('value')]
  const epsilon = config.rmsNormEpsilon
  const nodes: Node[] = [
    {
      operator: 'Split',
      inputs: [at('qkv.y'), 'qkv_sizes'],
      outputs: parts,
      attributes: { axis: { int: -1 } },
    },
    ...normHeads(at('query'), at('query_norm'), at('query.normed'), epsilon),
    ...normHeads(at('key'), at('key_norm'), at('key.normed'), epsilon),
  ]
  return { nodes, names: [at('query.normed'), at('key.normed'), at('value')] }
}

const attentionInputs = ['seqlens_k', 'total_sequence_length', 'rotary_cos', 'rotary_sin'] as const

/** What a quantised cache adds to the operator: inputs after position ids, bias and sink, which are left out. */
const cacheForm = (
  layer: number,
  dtype: CacheDtype,
): { readonly inputs: readonly string[]; readonly attributes: Record<string, Attribute> } => {
  if (dtype === 'float32') return { inputs: [], attributes: {} }
  const { keys, values } = scaleNames(layer)
  return {
    inputs: ['', '', '', keys, values],
    attributes: {
      k_quant_type: { string: 'PER_CHANNEL' },
      v_quant_type: { string: 'PER_CHANNEL' },
      kv_cache_bit_width: { int: 8 },
    },
  }
}

/** From `hidden`, the layer's normed input, to `layers.N.output.y`. */
export const attentionNodes = (
  config: ModelConfig,
  matrices: Matrices,
  layer: number,
  hidden: string,
  cacheDtype: CacheDtype,
): Node[] => {
  const at = (name: string): string => `layers.${layer}.${name}`
  const projection = (name: string, hasBias: boolean) => ({
    matrix: matrices(at(name)),
    bias: hasBias ? biasName(at(name)) : null,
  })
  const { past, present } = cacheNames(layer)
  // Empty names for key and value: the query holds all three.
  const packed = { nodes: [], names: [at('qkv.y'), '', ''] }
  const qkv = config.hasQueryKeyNorm ? normedQkv(config, at) : packed
  const cache = cacheForm(layer, cacheDtype)
  const window = config.slidingWindows[layer] ?? null
  const attention: Node = {
    operator: 'GroupQueryAttention',
    domain: contrib,
    inputs: [...qkv.names, past.key, past.value, ...attentionInputs, ...cache.inputs],
    outputs: [at('attention'), present.key, present.value],
    attributes: {
      num_heads: { int: config.numHeads },
      kv_num_heads: { int: config.numKvHeads },
      do_rotary: { int: 1 },
      rotary_interleaved: { int: 0 },
      ...cache.attributes,
      ...(window === null ? {} : { local_window_size: { int: window } }),
    },
  }
  return [
    ...linear(hidden, projection('qkv', config.hasQkvBias), at('qkv.y')),
    ...qkv.nodes,
    attention,
    ...linear(at('attention'), projection('output', config.hasOutputBias), at('output.y')),
  ]
}
