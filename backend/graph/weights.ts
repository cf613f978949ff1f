/** Which weights a rank's graphs have, and which parts of a checkpoint's tensors they are made of. */
import type { ModelConfig } from '../checkpoint/config.ts'
import type { RotaryTable } from './rotary.ts'
import { rangeLength, shareOf, type Range, type RankPlan } from './shard-plan.ts'
import { encodingOf, type Encoding, type WeightFormat, type WeightRole } from './weight-format.ts'

/** A tensor of the checkpoint, or a part of it. */
export type SourceTensor = {
  readonly name: string
  /** Of the whole tensor. */
  readonly shape: readonly number[]
  /** Along the first dimension; all of it when left out. */
  readonly rows?: Range
  /** Along the second dimension; all of it when left out. */
  readonly columns?: Range
}

/** An initialiser of the graph, or two where it is quantised. */
export type Weight = {
  readonly name: string
  /** Of its values. */
  readonly dims: readonly number[]
  readonly encoding: Encoding
  /**
   * Parts of the checkpoint, one after the other along the first dimension, or computed. Rows of `dims`
   * beyond them are zeros.
   */
  readonly source: readonly SourceTensor[] | RotaryTable
}

/** The dimensions of the part that is used. */
const dimsOf = ({ shape, rows, columns }: SourceTensor): number[] =>
  shape.map((size, axis) => {
    const range = [rows, columns][axis]
    return range === undefined ? size : rangeLength(range)
  })

/** A weight before it is known in which form it is stored. */
type UnencodedWeight = Omit<Weight, 'encoding'> & { readonly role: WeightRole }

/** A weight made of checkpoint tensors, stacked along the first dimension. */
const stack = (name: string, ...source: readonly SourceTensor[]): UnencodedWeight => {
  const all = source.map(dimsOf)
  const rows = all.reduce((sum, dims) => sum + (dims[0] ?? 0), 0)
  const dims = [rows, ...(all[0]?.slice(1) ?? [])]
  return { name, dims, source, role: dims.length === 1 ? 'vector' : 'matrix' }
}

/** What the bias of the projection with this matrix is called. */
export const biasName = (matrix: string): string => `${matrix}_bias`

const times = ({ begin, end }: Range, size: number): Range => ({
  begin: begin * size,
  end: end * size,
})

/** The output features that a module of the checkpoint has, and those that the rank has of them. */
type Outputs = { readonly size: number; readonly rows: Range }

/** The input features likewise. */
type Inputs = { readonly size: number; readonly columns?: Range }

const layerWeights = (config: ModelConfig, plan: RankPlan, layer: number): UnencodedWeight[] => {
  const { hiddenSize, intermediateSize, headDim, numHeads, numKvHeads } = config
  const share = shareOf(config, plan)
  const queries = { size: numHeads * headDim, rows: times(plan.heads, headDim) }
  const keys = { size: numKvHeads * headDim, rows: times(plan.kvHeads, headDim) }
  const ffn = { size: intermediateSize, rows: plan.ffn }
  const hidden = { size: hiddenSize, rows: { begin: 0, end: hiddenSize } }
  const tensor = (name: string, shape: readonly number[], part: Partial<SourceTensor> = {}) => ({
    name: `model.layers.${layer}.${name}`,
    shape,
    ...part,
  })
  /** A projection: the checkpoint's modules, each with its output features. */
  const linear = (
    name: string,
    { size, ...columns }: Inputs,
    modules: Readonly<Record<string, Outputs>>,
    hasBias: boolean,
  ): UnencodedWeight[] => {
    const all = Object.entries(modules)
    const matrices = all.map(([module, output]) =>
      tensor(`${module}.weight`, [output.size, size], { rows: output.rows, ...columns }),
    )
    const biases = all.map(([module, output]) =>
      tensor(`${module}.bias`, [output.size], { rows: output.rows }),
    )
    const matrix = `layers.${layer}.${name}`
    return [stack(matrix, ...matrices), ...(hasBias ? [stack(biasName(matrix), ...biases)] : [])]
  }
  const scale = (name: string, module: string, size: number): UnencodedWeight =>
    stack(`layers.${layer}.${name}`, tensor(`${module}.weight`, [size]))
  const headNorms = [
    scale('query_norm', 'self_attn.q_norm', headDim),
    scale('key_norm', 'self_attn.k_norm', headDim),
  ]
  const qkv = { 'self_attn.q_proj': queries, 'self_attn.k_proj': keys, 'self_attn.v_proj': keys }
  const gateUp = { 'mlp.gate_proj': ffn, 'mlp.up_proj': ffn }
  const fromHidden = { size: hiddenSize }
  const fromHeads = { size: queries.size, columns: queries.rows }
  const fromFfn = { size: ffn.size, columns: ffn.rows }
  const hasDownBias = config.hasMlpBias && plan.tensorRank === 0
  return [
    scale('attention_norm', 'input_layernorm', hiddenSize),
    ...linear('qkv', fromHidden, qkv, config.hasQkvBias),
    ...(config.hasQueryKeyNorm ? headNorms : []),
    ...linear('output', fromHeads, { 'self_attn.o_proj': hidden }, share.hasOutputBias),
    scale('mlp_norm', 'post_attention_layernorm', hiddenSize),
    ...linear('gate_up', fromHidden, gateUp, config.hasMlpBias),
    ...linear('down', fromFfn, { 'mlp.down_proj': hidden }, hasDownBias),
  ]
}

const unencodedWeights = (config: ModelConfig, plan: RankPlan): UnencodedWeight[] => {
  const byToken = (name: string, tensor: string): UnencodedWeight => ({
    name,
    dims: [plan.vocabRows, config.hiddenSize],
    source: [{ name: tensor, shape: [config.vocabSize, config.hiddenSize], rows: plan.vocab }],
    role: 'token',
  })
  const table = (name: string, source: RotaryTable): UnencodedWeight => ({
    name,
    dims: [config.maxPositions, config.headDim / 2],
    source,
    role: 'vector',
  })
  const { begin, end } = plan.layers
  const layers = Array.from({ length: end - begin }, (_, index) =>
    layerWeights(config, plan, begin + index),
  )
  const needsEmbedding = plan.isFirstStage || (plan.isLastStage && config.tiesEmbeddings)
  const finalNorm = { name: 'model.norm.weight', shape: [config.hiddenSize] }
  return [
    ...(needsEmbedding ? [byToken('embedding', 'model.embed_tokens.weight')] : []),
    table('rotary_cos', 'cos'),
    table('rotary_sin', 'sin'),
    ...layers.flat(),
    ...(plan.isLastStage ? [stack('final_norm', finalNorm)] : []),
    ...(plan.isLastStage && !config.tiesEmbeddings ? [byToken('head', 'lm_head.weight')] : []),
  ]
}

/** All weights of a rank, in the order in which they are stored. Matrices are [out, in]. */
export const rankWeights = (config: ModelConfig, plan: RankPlan, format: WeightFormat): Weight[] =>
  unencodedWeights(config, plan).map(({ role, ...weight }) => ({
    ...weight,
    encoding: encodingOf(role, weight.dims[1] ?? 1, format),
  }))
