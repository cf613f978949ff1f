/**
 * A decoder of the Llama family as one ONNX graph. Inputs and outputs (B rows of S new tokens each, R rows of
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
import type { ModelConfig } from '../checkpoint/config.ts'
import type { Graph, Initializer, Node, ValueInfo } from '../onnx/model.ts'
import { attentionNodes, attentionShapes, cacheNames } from './attention.ts'
import { feedForwardNodes } from './feed-forward.ts'
import { addAndNorm, linear, linearWeights, norm } from './operators.ts'

/** From the last layer's two addends: the wanted rows only, normed, to logits. */
const headNodes = (config: ModelConfig, residual: string, last: string): Node[] => [
  { operator: 'Add', inputs: [residual, last], outputs: ['decoded'] },
  { operator: 'Reshape', inputs: ['decoded', 'rows_shape'], outputs: ['decoded_rows'] },
  {
    operator: 'Gather',
    inputs: ['decoded_rows', 'logits_rows'],
    outputs: ['wanted_rows'],
    attributes: { axis: { int: 0 } },
  },
  norm('wanted_rows', 'final_norm', 'final_norm.y', config.rmsNormEpsilon),
  ...linear(
    'final_norm.y',
    linearWeights(config.tiesEmbeddings ? 'embedding' : 'head', false),
    'logits',
  ),
]

const decoderNodes = (config: ModelConfig): Node[] => {
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
    const attended = { sum: at('attended'), y: at('mlp_norm.y') }
    nodes.push(
      ...attentionNodes(config, layer, at('attention_norm.y')),
      addAndNorm([residual, at('output.y')], at('mlp_norm'), attended, epsilon),
      ...feedForwardNodes(config, layer, at('mlp_norm.y')),
    )
    residual = at('attended')
  }
  const last = `layers.${config.numLayers - 1}.down.y`
  return [...nodes, ...headNodes(config, residual, last)]
}

/** @param weights initialisers by the names of weights.ts */
export const decoderGraph = (config: ModelConfig, weights: readonly Initializer[]): Graph => {
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
      ...attentionShapes(config),
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
