/**
 * A Llama of random weights as one GGUF file, which both Burrow and llama.cpp load: seeded, quantised to 4 bits, with a
 * vocabulary of made-up words.
 */
import { existsSync, renameSync, writeFileSync } from 'node:fs'
import { ggufBytes, type GgufContent } from '../../../backend/checkpoint/write-gguf.ts'
import { randomSource } from '../../../backend/graph/random-source.ts'
import { scratchPath } from '../scratch.ts'
import { ggmlQuantize, ggmlTypes, type GgmlType } from './ggml-quantize.ts'

export type LlamaShape = {
  readonly hiddenSize: number
  readonly intermediateSize: number
  readonly numLayers: number
  readonly numHeads: number
  readonly numKvHeads: number
  readonly headDim: number
  readonly vocabSize: number
  readonly maxPositions: number
}

/** SmolLM2-135M's: 134.5 million parameters, the head tied to the embedding. */
export const shape135M: LlamaShape = {
  hiddenSize: 576,
  intermediateSize: 1536,
  numLayers: 30,
  numHeads: 9,
  numKvHeads: 3,
  headDim: 64,
  vocabSize: 49_152,
  maxPositions: 8192,
}

/** The same with 8 and 2 heads, which two ranks can share. */
export const shape135MEven: LlamaShape = { ...shape135M, numHeads: 8, numKvHeads: 2 }

type Tensor = GgufContent['tensors'][number]

const tensorsOf = (shape: LlamaShape, embeddingType: GgmlType): Tensor[] => {
  const random = randomSource(1)
  const matrix = (name: string, rows: number, columns: number, type: GgmlType = 'Q4_0'): Tensor => {
    const values = Float32Array.from(
      { length: rows * columns },
      () => random() / Math.sqrt(columns / 3),
    )
    const data = ggmlQuantize(values, type)
    return { name: `${name}.weight`, dims: [columns, rows], type: ggmlTypes[type], data }
  }
  const { hiddenSize, intermediateSize, headDim, vocabSize } = shape
  const [queries, keys] = [shape.numHeads * headDim, shape.numKvHeads * headDim]
  const norm = (name: string, size: number): Tensor => ({
    name: `${name}.weight`,
    dims: [hiddenSize],
    type: 0,
    data: new Float32Array(hiddenSize).fill(size),
  })
  const layers = Array.from({ length: shape.numLayers }, (_, layer) => [
    norm(`blk.${layer}.attn_norm`, 1),
    matrix(`blk.${layer}.attn_q`, queries, hiddenSize),
    matrix(`blk.${layer}.attn_k`, keys, hiddenSize),
    matrix(`blk.${layer}.attn_v`, keys, hiddenSize),
    matrix(`blk.${layer}.attn_output`, hiddenSize, queries),
    norm(`blk.${layer}.ffn_norm`, 1),
    matrix(`blk.${layer}.ffn_gate`, intermediateSize, hiddenSize),
    matrix(`blk.${layer}.ffn_up`, intermediateSize, hiddenSize),
    matrix(`blk.${layer}.ffn_down`, hiddenSize, intermediateSize),
  ])
  return [
    matrix('token_embd', vocabSize, hiddenSize, embeddingType),
    ...layers.flat(),
    // Logits with a standard deviation of 3, about as peaked as those of real models.
    norm('output_norm', 3),
  ]
}

const vocabulary = (size: number): GgufContent['metadata'] => {
  const bytes = Array.from(
    { length: 256 },
    (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
  )
  const named = ['<unk>', '<s>', '</s>', ...bytes]
  const tokens = Array.from({ length: size }, (_, id) => named[id] ?? `▁w${id.toString(36)}`)
  return {
    'tokenizer.ggml.model': 'llama',
    'tokenizer.ggml.tokens': tokens,
    // Halves: whole numbers would be written as integers.
    'tokenizer.ggml.scores': tokens.map((_, id) => -id - 0.5),
    // Unknown, control, byte, normal.
    'tokenizer.ggml.token_type': Int32Array.from(tokens, (_, id) =>
      id === 0 ? 2 : id < 3 ? 3 : id < named.length ? 6 : 1,
    ),
    'tokenizer.ggml.unknown_token_id': 0,
    'tokenizer.ggml.bos_token_id': 1,
    'tokenizer.ggml.eos_token_id': 2,
  }
}

/**
 * Writes it once.
 * @param embeddingType of the embedding and tied head
 * @returns the file's path
 */
export const randomLlama = (shape: LlamaShape, embeddingType: GgmlType): string => {
  const { numHeads, numKvHeads } = shape
  const path = scratchPath('models', `random-${numHeads}-${numKvHeads}-${embeddingType}.gguf`)
  if (existsSync(path)) return path
  const metadata: GgufContent['metadata'] = {
    'general.architecture': 'llama',
    'general.name': 'random',
    'llama.context_length': shape.maxPositions,
    'llama.embedding_length': shape.hiddenSize,
    'llama.block_count': shape.numLayers,
    'llama.feed_forward_length': shape.intermediateSize,
    'llama.attention.head_count': numHeads,
    'llama.attention.head_count_kv': numKvHeads,
    'llama.attention.key_length': shape.headDim,
    'llama.attention.value_length': shape.headDim,
    'llama.attention.layer_norm_rms_epsilon': 1e-5,
    'llama.rope.dimension_count': shape.headDim,
    'llama.vocab_size': shape.vocabSize,
    ...vocabulary(shape.vocabSize),
  }
  const tensors = tensorsOf(shape, embeddingType)
  writeFileSync(`${path}.tmp`, ggufBytes({ metadata, tensors }))
  renameSync(`${path}.tmp`, path)
  return path
}
