/** A Llama of random weights, small enough for a test, and what it computes by the textbook. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseConfig, type ModelConfig } from '../../../backend/checkpoint/config.ts'
import { writeFloat32Tensors, type Float32Tensors } from '../checkpoint/write-safetensors.ts'
import { randomSource } from './random-source.ts'

const baseConfig = {
  architectures: ['LlamaForCausalLM'],
  hidden_size: 64,
  intermediate_size: 80,
  num_hidden_layers: 3,
  num_attention_heads: 6,
  num_key_value_heads: 2,
  head_dim: 16,
  vocab_size: 50,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  tie_word_embeddings: false,
  eos_token_id: 1,
}

const randomTensors = (config: ModelConfig, seed: number): Float32Tensors => {
  const random = randomSource(seed)
  const matrix = (rows: number, columns: number) => ({
    shape: [rows, columns],
    values: Float32Array.from({ length: rows * columns }, () => random() / Math.sqrt(columns / 3)),
  })
  const scale = () => ({
    shape: [config.hiddenSize],
    values: Float32Array.from({ length: config.hiddenSize }, () => 1 + random() / 4),
  })
  const { hiddenSize: hidden, intermediateSize: ffn, headDim, numHeads, numKvHeads } = config
  const layers = Array.from({ length: config.numLayers }, (_, layer) =>
    Object.entries({
      input_layernorm: scale(),
      'self_attn.q_proj': matrix(numHeads * headDim, hidden),
      'self_attn.k_proj': matrix(numKvHeads * headDim, hidden),
      'self_attn.v_proj': matrix(numKvHeads * headDim, hidden),
      'self_attn.o_proj': matrix(hidden, numHeads * headDim),
      post_attention_layernorm: scale(),
      'mlp.gate_proj': matrix(ffn, hidden),
      'mlp.up_proj': matrix(ffn, hidden),
      'mlp.down_proj': matrix(hidden, ffn),
    }).map(([name, tensor]) => [`model.layers.${layer}.${name}.weight`, tensor] as const),
  )
  return {
    'model.embed_tokens.weight': matrix(config.vocabSize, hidden),
    ...Object.fromEntries(layers.flat()),
    'model.norm.weight': scale(),
    ...(config.tiesEmbeddings ? {} : { 'lm_head.weight': matrix(config.vocabSize, hidden) }),
  }
}

/** W · x for W [out, in]. */
const linear = (weight: Float32Array, x: readonly number[]): number[] =>
  Array.from({ length: weight.length / x.length }, (_, row) =>
    x.reduce((sum, value, column) => sum + value * weight[row * x.length + column]!, 0),
  )

const rmsNorm = (x: readonly number[], scale: Float32Array, epsilon: number): number[] => {
  const meanSquare = x.reduce((sum, value) => sum + value * value, 0) / x.length
  return x.map((value, i) => (value / Math.sqrt(meanSquare + epsilon)) * scale[i]!)
}

/** Rotates the two halves of a head against each other. */
const rotate = (head: readonly number[], position: number, theta: number): number[] => {
  const half = head.length / 2
  return head.map((value, i) => {
    const angle = position / theta ** ((2 * (i % half)) / head.length)
    const other = i < half ? -head[i + half]! : head[i - half]!
    return value * Math.cos(angle) + other * Math.sin(angle)
  })
}

const heads = (x: readonly number[], headDim: number): number[][] =>
  Array.from({ length: x.length / headDim }, (_, h) => x.slice(h * headDim, (h + 1) * headDim))

/** One query head over the keys and values [position][headDim] that it may see. */
const attend = (query: readonly number[], keys: number[][], values: number[][]): number[] => {
  const scores = keys.map((key) =>
    Math.exp(key.reduce((sum, k, i) => sum + k * query[i]!, 0) / Math.sqrt(query.length)),
  )
  const total = scores.reduce((sum, score) => sum + score, 0)
  return query.map((_, i) =>
    values.reduce((sum, value, position) => sum + (scores[position]! / total) * value[i]!, 0),
  )
}

const add = (a: readonly number[], b: readonly number[]): number[] => a.map((x, i) => x + b[i]!)

export class TinyLlama {
  readonly config: ModelConfig
  readonly #configText: string
  readonly #tensors: Float32Tensors

  /** @param tensors random ones of the seed unless given */
  constructor(fields: object = {}, seed = 1, tensors?: Float32Tensors) {
    this.#configText = JSON.stringify({ ...baseConfig, ...fields })
    this.config = parseConfig('config.json', this.#configText)
    this.#tensors = tensors ?? randomTensors(this.config, seed)
  }

  get tensors(): Float32Tensors {
    return this.#tensors
  }

  writeConfig(folder: string): void {
    writeFileSync(join(folder, 'config.json'), this.#configText)
  }

  /** config.json and model.safetensors. */
  write(folder: string): void {
    this.writeConfig(folder)
    writeFloat32Tensors(join(folder, 'model.safetensors'), this.#tensors)
  }

  /** The logits after each token, in double precision and without a cache. */
  logits(tokens: readonly number[]): number[][] {
    const { hiddenSize, numLayers, rmsNormEpsilon, tiesEmbeddings } = this.config
    const embedding = this.#weight('model.embed_tokens')
    let x = tokens.map((token) => [
      ...embedding.subarray(token * hiddenSize, (token + 1) * hiddenSize),
    ])
    for (let layer = 0; layer < numLayers; layer++) x = this.#layer(`model.layers.${layer}`, x)
    const head = tiesEmbeddings ? embedding : this.#weight('lm_head')
    const norm = this.#weight('model.norm')
    return x.map((row) => linear(head, rmsNorm(row, norm, rmsNormEpsilon)))
  }

  #layer(name: string, x: readonly number[][]): number[][] {
    const { headDim, numHeads, numKvHeads, rmsNormEpsilon, rope } = this.config
    const norm = this.#weight(`${name}.input_layernorm`)
    const normed = x.map((row) => rmsNorm(row, norm, rmsNormEpsilon))
    // [position][head][headDim]
    const project = (part: string): number[][][] =>
      normed.map((row) => heads(linear(this.#weight(`${name}.self_attn.${part}`), row), headDim))
    const rotateAll = (all: number[][][]): number[][][] =>
      all.map((row, position) => row.map((head) => rotate(head, position, rope.theta)))
    const queries = rotateAll(project('q_proj'))
    const keys = rotateAll(project('k_proj'))
    const values = project('v_proj')
    return x.map((row, position) => {
      const attended = queries[position]!.flatMap((query, head) => {
        const kv = Math.floor(head / (numHeads / numKvHeads))
        const seen = (all: number[][][]) => all.slice(0, position + 1).map((heads) => heads[kv]!)
        return attend(query, seen(keys), seen(values))
      })
      return this.#mlp(name, add(row, linear(this.#weight(`${name}.self_attn.o_proj`), attended)))
    })
  }

  #mlp(name: string, row: readonly number[]): number[] {
    const norm = this.#weight(`${name}.post_attention_layernorm`)
    const normed = rmsNorm(row, norm, this.config.rmsNormEpsilon)
    const gate = linear(this.#weight(`${name}.mlp.gate_proj`), normed)
    const up = linear(this.#weight(`${name}.mlp.up_proj`), normed)
    const gated = gate.map((g, i) => (g / (1 + Math.exp(-g))) * up[i]!)
    return add(row, linear(this.#weight(`${name}.mlp.down_proj`), gated))
  }

  #weight(name: string): Float32Array {
    const tensor = this.#tensors[`${name}.weight`]
    if (tensor === undefined) throw new Error(`no tensor ${name}`)
    return tensor.values
  }
}

/** The largest difference of two lists of numbers. */
export const maxDifference = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  if (a.length !== b.length) return Infinity
  return Array.from(a).reduce((max, value, i) => Math.max(max, Math.abs(value - b[i]!)), 0)
}
