/**
 * A decoder of the Llama family, or a rank's segment of one, as an ONNX graph. Inputs and outputs (B rows
 * of S new tokens each, R rows of logits, C positions in the cache, T ranks that share a layer):
 *
 *   input_ids               int64 [B, S]
 *   parts                   float32 [T, B, S, hidden], or [B, S, hidden] where T is 1: what adds up to
 *                           the hidden state, in segments that do not begin with the embedding
 *   seqlens_k               int32 [B]      each row's length with its new tokens, less one
 *   total_sequence_length   int32 [1]      the longest row's length with its new tokens
 *   logits_rows             int64 [R]      of the B·S positions, those whose logits are wanted
 *   past.N.key, .value      float32 or int8 [B, kvHeads, C, headDim] of layer N
 *   logits                  float32 [R, vocabRows]
 *   part                    float32 [B, S, hidden], in segments that do not end with the head
 *   present.N.key, .value   as past.N; bound to the same memory, the new tokens are written in place
 *
 * A segment has the inputs and outputs of what is in it. com.microsoft.GroupQueryAttention sets the
 * rules: S = total_sequence_length means that the past is empty, and with a past, S above 1 allows one
 * row only.
 */
import type { ModelConfig } from '../checkpoint/config.ts'
import type { Graph, Initializer, Node, ValueInfo } from '../onnx/model.ts'
import { attentionNodes, attentionShapes, cacheNames, cacheScaleInitializers } from './attention.ts'
import type { CacheDtype, CacheScales, LayerScales } from './cache-dtype.ts'
import { feedForwardNodes } from './feed-forward.ts'
import { linear, lookUp, lookUpTable, matricesOf, type Matrices } from './linear.ts'
import { addAndNorm, int64, norm } from './operators.ts'
import type { Block, Segment } from './segments.ts'
import { shareOf, type RankPlan } from './shard-plan.ts'
import type { Weight } from './weights.ts'

/** A sum that is not computed yet: the residual stream, and what the last block adds to it. */
type Stream = { readonly residual: string; readonly addend: string | null }

/** What the parts of a graph are made from. */
type Builder = {
  /** With the sizes of the rank's share. */
  readonly config: ModelConfig
  readonly plan: RankPlan
  readonly matrices: Matrices
  readonly cacheDtype: CacheDtype
}

const cacheDtypeOf = ({ cacheScales }: Pick<RankModel, 'cacheScales'>): CacheDtype =>
  cacheScales === null ? 'float32' : 'int8'

/** What rank and segment begin with, as nodes, and the stream's name. */
const beginning = (
  { plan, matrices }: Builder,
  { embeds }: Segment,
): { nodes: Node[]; residual: string } => {
  if (embeds) {
    return {
      nodes: lookUp(matrices('embedding'), 'input_ids', 'embedded'),
      residual: 'embedded',
    }
  }
  if (plan.tensorParallelSize === 1) return { nodes: [], residual: 'parts' }
  const sum: Node = {
    operator: 'ReduceSum',
    inputs: ['parts', 'parts_axis'],
    outputs: ['hidden'],
    attributes: { keepdims: { int: 0 } },
  }
  return { nodes: [sum], residual: 'hidden' }
}

/** One half of a layer: norms the stream, and leaves its own output as the stream's addend. */
const blockNodes = (
  { config, plan, matrices, cacheDtype }: Builder,
  { layer, kind }: Block,
  { residual, addend }: Stream,
): { nodes: Node[]; stream: Stream } => {
  const at = (name: string): string => `layers.${layer}.${name}`
  const isAttention = kind === 'attention'
  const scale = at(isAttention ? 'attention_norm' : 'mlp_norm')
  const sum = at(isAttention ? 'input' : 'attended')
  const epsilon = config.rmsNormEpsilon
  const normed =
    addend === null
      ? norm(residual, scale, `${scale}.y`, epsilon)
      : addAndNorm([residual, addend], scale, { sum, y: `${scale}.y` }, epsilon)
  const block = isAttention
    ? attentionNodes(config, matrices, layer, `${scale}.y`, cacheDtype)
    : feedForwardNodes(config, matrices, layer, `${scale}.y`, {
        addsDownBias: plan.tensorRank === 0,
      })
  return {
    nodes: [normed, ...block],
    stream: {
      residual: addend === null ? residual : sum,
      addend: at(isAttention ? 'output.y' : 'down.y'),
    },
  }
}

/** The wanted rows only, normed, to logits. */
const headNodes = ({ config, matrices }: Builder, { residual, addend }: Stream): Node[] => [
  ...(addend === null
    ? []
    : [{ operator: 'Add', inputs: [residual, addend], outputs: ['decoded'] }]),
  {
    operator: 'Reshape',
    inputs: [addend === null ? residual : 'decoded', 'rows_shape'],
    outputs: ['decoded_rows'],
  },
  {
    operator: 'Gather',
    inputs: ['decoded_rows', 'logits_rows'],
    outputs: ['wanted_rows'],
    attributes: { axis: { int: 0 } },
  },
  norm('wanted_rows', 'final_norm', 'final_norm.y', config.rmsNormEpsilon),
  ...linear(
    'final_norm.y',
    { matrix: matrices(config.tiesEmbeddings ? 'embedding' : 'head'), bias: null },
    'logits',
  ),
]

/** The rank's part of the sum: the first of a group carries the residual stream with its own. */
const partNode = ({ residual, addend }: Stream, { tensorRank }: RankPlan): Node => {
  if (addend === null) return { operator: 'Identity', inputs: [residual], outputs: ['part'] }
  if (tensorRank > 0) return { operator: 'Identity', inputs: [addend], outputs: ['part'] }
  return { operator: 'Add', inputs: [residual, addend], outputs: ['part'] }
}

const segmentNodes = (model: RankModel, segment: Segment): Node[] => {
  const { plan } = model
  const builder: Builder = {
    config: shareOf(model.config, plan),
    plan,
    matrices: matricesOf(model.weights),
    cacheDtype: cacheDtypeOf(model),
  }
  const { nodes, residual } = beginning(builder, segment)
  let stream: Stream = { residual, addend: null }
  for (const block of segment.blocks) {
    const next = blockNodes(builder, block, stream)
    nodes.push(...next.nodes)
    stream = next.stream
  }
  nodes.push(...(segment.hasHead ? headNodes(builder, stream) : [partNode(stream, plan)]))
  return nodes
}

/** Constants of shape and axis that nodes refer to. */
const constants = (config: ModelConfig): Initializer[] => [
  int64('rows_shape', -1, config.hiddenSize),
  int64('parts_axis', 0),
  ...attentionShapes(config),
]

/** What all graphs of a rank have in common. */
export type RankModel = {
  /** The whole model's. */
  readonly config: ModelConfig
  readonly plan: RankPlan
  readonly weights: readonly Weight[]
  /** Where the weights are stored. */
  readonly initializers: readonly Initializer[]
  /** Of all heads of all layers: the KV cache is int8; null: it is float32. */
  readonly cacheScales: CacheScales | null
}

/** The rank's own heads of a layer's scales. */
const ownScales = ({ config, plan }: RankModel, { keys, values }: LayerScales): LayerScales => {
  const { begin, end } = plan.kvHeads
  const own = (all: Float32Array) => all.subarray(begin * config.headDim, end * config.headDim)
  return { keys: own(keys), values: own(values) }
}

/** The graph of one of the rank's segments, with the initialisers that it needs. */
export const decoderGraph = (model: RankModel, segment: Segment): Graph => {
  const { config, plan, cacheScales } = model
  const share = shareOf(config, plan)
  const { embeds, blocks, hasHead } = segment
  const hidden = ['batch', 'sequence', config.hiddenSize]
  const { tensorParallelSize } = plan
  const partsDims = tensorParallelSize === 1 ? hidden : [tensorParallelSize, ...hidden]
  const parts: ValueInfo = { name: 'parts', type: 'float32', dims: partsDims }
  const cacheDims = ['batch', share.numKvHeads, 'capacity', config.headDim]
  const type = cacheDtypeOf(model)
  const cache = (names: { readonly key: string; readonly value: string }): ValueInfo[] =>
    [names.key, names.value].map((name) => ({ name, type, dims: cacheDims }))
  const layers = blocks.flatMap(({ layer, kind }) => (kind === 'attention' ? [layer] : []))
  const caches = layers.map(cacheNames)
  const scales = layers.flatMap((layer) => {
    const all = cacheScales?.[layer]
    return all ? cacheScaleInitializers(config, layer, ownScales(model, all)) : []
  })
  const lengths: ValueInfo[] = [
    { name: 'seqlens_k', type: 'int32', dims: ['batch'] },
    { name: 'total_sequence_length', type: 'int32', dims: [1] },
  ]
  const nodes = segmentNodes(model, segment)
  const tables = model.initializers.filter(({ name }) => name === 'embedding').map(lookUpTable)
  const used = new Set(nodes.flatMap(({ inputs }) => inputs))
  return {
    name: 'decoder',
    nodes,
    initializers: [...constants(share), ...tables, ...scales, ...model.initializers].filter(
      ({ name }) => used.has(name),
    ),
    inputs: [
      embeds ? { name: 'input_ids', type: 'int64', dims: ['batch', 'sequence'] } : parts,
      ...(caches.length > 0 ? lengths : []),
      ...(hasHead ? [{ name: 'logits_rows', type: 'int64', dims: ['rows'] } as const] : []),
      ...caches.flatMap(({ past }) => cache(past)),
    ],
    outputs: [
      hasHead
        ? { name: 'logits', type: 'float32', dims: ['rows', plan.vocabRows] }
        : { name: 'part', type: 'float32', dims: hidden },
      ...caches.flatMap(({ present }) => cache(present)),
    ],
  }
}
