/**
 * A Llama decoder as one ONNX graph. Inputs and outputs (B rows of S new tokens each, R rows of
 * logits, C positions in the cache):
 *
 *   input_ids               int64 [B, S]
 *   seqlens_k               int32 [B]      each row's length with its new tokens, less one
 *   total_sequence_length   int32 [1]      the longest row's length with its new tokens
 *   logits_rows             int64 [R]      of the B·S positions, those whose logits are wanted
 *   past.N.key, .value      float32 [B, kvHeads, C, headDim] of layer N
 *   logits                  float32 [R, vocabSize]
 *   present.N.key, .value   as past.N; bound to the same memory, the new tokens are written in place
 *
 * com.microsoft.GroupQueryAttention sets the rules: S = total_sequence_length means that the past is
 * empty, and with a past, S above 1 allows one row only.
 */
import type { LlamaConfig } from '../checkpoint/config.ts'
import type { Graph, Initializer, Node, ValueInfo } from '../onnx/model.ts'

const contrib = 'com.microsoft'

/** The input and output names of one layer's keys and values. */
export const cacheNames = (layer: number) => ({
  past: { key: `past.${layer}.key`, value: `past.${layer}.value` },
  present: { key: `present.${layer}.key`, value: `present.${layer}.value` },
})

/**
 * `x · Wᵀ` for W [out, in], as checkpoints store it. FusedMatMul packs it when the session loads
 * and is then as quick as MatMul on [in, out], at one row and at many.
 */
const linear = (x: string, weight: string, y: string): Node => ({
  operator: 'FusedMatMul',
  domain: contrib,
  inputs: [x, weight],
  outputs: [y],
  attributes: { transB: { int: 1 } },
})

const norm = (x: string, scale: string, y: string, epsilon: number): Node => ({
  operator: 'SimplifiedLayerNormalization',
  inputs: [x, scale],
  outputs: [y],
  attributes: { axis: { int: -1 }, epsilon: { float: epsilon } },
})

/** `sum = a + b`, `y = norm(sum)`. */
const addAndNorm = (
  [a, b]: readonly [string, string],
  scale: string,
  { sum, y }: { readonly sum: string; readonly y: string },
  epsilon: number,
): Node => ({
  operator: 'SkipSimplifiedLayerNormalization',
  domain: contrib,
  inputs: [a, b, scale],
  outputs: [y, '', '', sum],
  attributes: { epsilon: { float: epsilon } },
})

const attentionInputs = ['seqlens_k', 'total_sequence_length', 'rotary_cos', 'rotary_sin'] as const

/** `hidden` is the normed input, `residual` what the layer adds to; `layers.N.down` comes out. */
const layerNodes = (
  config: LlamaConfig,
  layer: number,
  hidden: string,
  residual: string,
): Node[] => {
  const at = (name: string): string => `layers.${layer}.${name}`
  const { past, present } = cacheNames(layer)
  const attention: Node = {
    operator: 'GroupQueryAttention',
    domain: contrib,
    // The empty names are key and value: the query holds all three.
    inputs: [at('qkv.y'), '', '', past.key, past.value, ...attentionInputs],
    outputs: [at('attention'), present.key, present.value],
    attributes: {
      num_heads: { int: config.numHeads },
      kv_num_heads: { int: config.numKvHeads },
      do_rotary: { int: 1 },
      rotary_interleaved: { int: 0 },
    },
  }
  return [
    linear(hidden, at('qkv'), at('qkv.y')),
    attention,
    linear(at('attention'), at('output'), at('output.y')),
    addAndNorm(
      [residual, at('output.y')],
      at('mlp_norm'),
      { sum: at('attended'), y: at('mlp_norm.y') },
      config.rmsNormEpsilon,
    ),
    linear(at('mlp_norm.y'), at('gate'), at('gate.y')),
    linear(at('mlp_norm.y'), at('up'), at('up.y')),
    { operator: 'Sigmoid', inputs: [at('gate.y')], outputs: [at('sigmoid')] },
    { operator: 'Mul', inputs: [at('gate.y'), at('sigmoid')], outputs: [at('silu')] },
    { operator: 'Mul', inputs: [at('silu'), at('up.y')], outputs: [at('gated')] },
    linear(at('gated'), at('down'), at('down.y')),
  ]
}

/** From the last layer's two addends: the wanted rows only, normed, to logits. */
const headNodes = (config: LlamaConfig, residual: string, last: string): Node[] => [
  { operator: 'Add', inputs: [residual, last], outputs: ['decoded'] },
  { operator: 'Reshape', inputs: ['decoded', 'rows_shape'], outputs: ['decoded_rows'] },
  {
    operator: 'Gather',
    inputs: ['decoded_rows', 'logits_rows'],
    outputs: ['wanted_rows'],
    attributes: { axis: { int: 0 } },
  },
  norm('wanted_rows', 'final_norm', 'final_norm.y', config.rmsNormEpsilon),
  linear('final_norm.y', config.tiesEmbeddings ? 'embedding' : 'head', 'logits'),
]

const decoderNodes = (config: LlamaConfig): Node[] => {
  const epsilon = config.rmsNormEpsilon
  const nodes: Node[] = [
    { operator: 'Gather', inputs: ['embedding', 'input_ids'], outputs: ['embedded'] },
    norm('embedded', 'layers.0.attention_norm', 'layers.0.attention_norm.y', epsilon),
  ]
  let residual = 'embedded'
  for (let layer = 0; layer < config.numLayers; layer++) {
    const at = (name: string): string => `layers.${layer}.${name}`
    if (layer > 0) {
      const addends = [residual, `layers.${layer - 1}.down.y`] as const
      residual = at('input')
      const outputs = { sum: residual, y: at('attention_norm.y') }
      nodes.push(addAndNorm(addends, at('attention_norm'), outputs, epsilon))
    }
    nodes.push(...layerNodes(config, layer, at('attention_norm.y'), residual))
    residual = at('attended')
  }
  const last = `layers.${config.numLayers - 1}.down.y`
  return [...nodes, ...headNodes(config, residual, last)]
}

/** @param weights initialisers by the names of weights.ts */
export const decoderGraph = (config: LlamaConfig, weights: readonly Initializer[]): Graph => {
  const cacheDims = ['batch', config.numKvHeads, 'capacity', config.headDim]
  const cache = (names: { readonly key: string; readonly value: string }): ValueInfo[] =>
    [names.key, names.value].map((name) => ({ name, type: 'float32', dims: cacheDims }))
  const layers = Array.from({ length: config.numLayers }, (_, layer) => cacheNames(layer))
  const rowsShape = BigInt64Array.of(-1n, BigInt(config.hiddenSize))
  return {
    name: 'decoder',
    nodes: decoderNodes(config),
    initializers: [
      { name: 'rows_shape', type: 'int64', dims: [2], data: new Uint8Array(rowsShape.buffer) },
      ...weights,
    ],
    inputs: [
      { name: 'input_ids', type: 'int64', dims: ['batch', 'sequence'] },
      { name: 'seqlens_k', type: 'int32', dims: ['batch'] },
      { name: 'total_sequence_length', type: 'int32', dims: [1] },
      { name: 'logits_rows', type: 'int64', dims: ['rows'] },
      ...layers.flatMap(({ past }) => cache(past)),
    ],
    outputs: [
      { name: 'logits', type: 'float32', dims: ['rows', config.vocabSize] },
      ...layers.flatMap(({ present }) => cache(present)),
    ],
  }
}
