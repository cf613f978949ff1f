/** What config.json of the same model would say, from a GGUF file's metadata and tensors. */
import type { GgufFile } from './gguf-file.ts'
import { headDimOf } from './gguf-llama.ts'
import type { GgufMetadata } from './gguf-metadata.ts'
import { ropeFields, shortestDecimal } from './gguf-rope.ts'

const endTokens = (metadata: GgufMetadata): number[] => {
  const ids = ['eos', 'eot', 'eom'].map((kind) => metadata.index(`tokenizer.ggml.${kind}_token_id`))
  return [...new Set(ids.filter((id) => id !== undefined))]
}

const readDivisors = async (file: GgufFile): Promise<Float32Array | null> => {
  if (!file.tensors.has('rope_freqs.weight')) return null
  const values: number[] = []
  for await (const piece of file.readFloat32('rope_freqs.weight')) values.push(...piece)
  return Float32Array.from(values)
}

/**
 * The fields of config.json, for parseConfig, which checks them.
 * @throws ModelFolderError that names the key at fault
 */
export const ggufConfigFields = async (file: GgufFile): Promise<object> => {
  const { metadata, tensors } = file
  const headDim = headDimOf(metadata)
  const rotated = metadata.index('llama.rope.dimension_count') ?? headDim
  const epsilon = metadata.number('llama.attention.layer_norm_rms_epsilon')
  if (epsilon === undefined) {
    throw metadata.error('llama.attention.layer_norm_rms_epsilon is missing')
  }
  const heads = metadata.requiredCount('llama.attention.head_count')
  return {
    architectures: ['LlamaForCausalLM'],
    hidden_size: metadata.requiredCount('llama.embedding_length'),
    intermediate_size: metadata.requiredCount('llama.feed_forward_length'),
    num_hidden_layers: metadata.requiredCount('llama.block_count'),
    num_attention_heads: heads,
    num_key_value_heads: metadata.index('llama.attention.head_count_kv') ?? heads,
    head_dim: headDim,
    vocab_size:
      metadata.index('llama.vocab_size') ?? tensors.get('model.embed_tokens.weight')?.shape[0],
    max_position_embeddings: metadata.requiredCount('llama.context_length'),
    rms_norm_eps: shortestDecimal(epsilon),
    ...ropeFields(metadata, headDim, await readDivisors(file)),
    partial_rotary_factor: rotated / headDim,
    tie_word_embeddings: !tensors.has('lm_head.weight'),
    attention_bias: tensors.has('model.layers.0.self_attn.q_proj.bias'),
    mlp_bias: tensors.has('model.layers.0.mlp.gate_proj.bias'),
    bos_token_id: metadata.index('tokenizer.ggml.bos_token_id') ?? null,
    eos_token_id: endTokens(metadata),
  }
}
