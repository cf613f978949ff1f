/** What config.json of the same model would say, from a GGUF file's metadata and tensors. */
import type { GgufFile } from './gguf-file.ts'
import type { GgufMetadata } from './gguf-metadata.ts'
import { ropeFields, shortestDecimal } from './gguf-rope.ts'
import { isTensorOf } from './gguf-tensor-names.ts'
import { countValues } from './tensor-file.ts'

const endTokens = (metadata: GgufMetadata): number[] => {
  const ids = ['eos', 'eot', 'eom'].map((kind) => metadata.index(`tokenizer.ggml.${kind}_token_id`))
  return [...new Set(ids.filter((id) => id !== undefined))]
}

const readDivisors = async (file: GgufFile): Promise<Float32Array | null> => {
  const info = file.tensors.get('rope_freqs.weight')
  if (info === undefined) return null
  if (countValues(info.shape) !== file.headDim / 2) {
    throw file.metadata.error(`its rope_freqs.weight does not have ${file.headDim / 2} values`)
  }
  const values: number[] = []
  for await (const piece of file.readFloat32('rope_freqs.weight')) values.push(...piece)
  return Float32Array.from(values)
}

/** Whether any tensor is such a bias; one that is then missing is an error, one too many is not left out. */
const hasBias = ({ tensors }: GgufFile, modules: RegExp): boolean =>
  [...tensors.keys()].some((name) => modules.test(name))

/**
 * GGUF has one name for Llama and Mistral, which differ by the window. llama.cpp's converter leaves that
 * out; a file that has one means it.
 */
const windowFields = (file: GgufFile): object => {
  const { name, huggingFaceName } = file.architecture
  const key = `${name}.attention.sliding_window`
  const window = name === 'llama' ? (file.metadata.index(key) ?? 0) : 0
  if (window === 0) return { architectures: [huggingFaceName] }
  if (!hasBias(file, /\.bias$/)) {
    return { architectures: ['MistralForCausalLM'], sliding_window: window }
  }
  throw file.metadata.error(`${key} together with biases is not supported`)
}

/**
 * The fields of config.json, for parseConfig, which checks them.
 * @throws ModelFolderError that names the key or tensor at fault
 */
export const ggufConfigFields = async (file: GgufFile): Promise<object> => {
  const { metadata, architecture, tensors, headDim } = file
  const { name } = architecture
  const foreign = [...tensors.keys()].find((tensor) => !isTensorOf(architecture, tensor))
  if (foreign !== undefined) throw metadata.error(`its ${foreign} is no tensor of a ${name}`)
  const rotated = metadata.index(`${name}.rope.dimension_count`) ?? headDim
  const epsilonKey = `${name}.attention.layer_norm_rms_epsilon`
  const epsilon = metadata.number(epsilonKey)
  if (epsilon === undefined) throw metadata.error(`${epsilonKey} is missing`)
  const heads = metadata.requiredCount(`${name}.attention.head_count`)
  return {
    ...windowFields(file),
    hidden_size: metadata.requiredCount(`${name}.embedding_length`),
    intermediate_size: metadata.requiredCount(`${name}.feed_forward_length`),
    num_hidden_layers: metadata.requiredCount(`${name}.block_count`),
    num_attention_heads: heads,
    num_key_value_heads: metadata.index(`${name}.attention.head_count_kv`) ?? heads,
    head_dim: headDim,
    vocab_size:
      metadata.index(`${name}.vocab_size`) ?? tensors.get('model.embed_tokens.weight')?.shape[0],
    max_position_embeddings: metadata.requiredCount(`${name}.context_length`),
    rms_norm_eps: shortestDecimal(epsilon),
    ...ropeFields(metadata, name, headDim, await readDivisors(file)),
    partial_rotary_factor: rotated / headDim,
    tie_word_embeddings: !tensors.has('lm_head.weight'),
    attention_bias: hasBias(file, /\.self_attn\.[a-z]_proj\.bias$/),
    mlp_bias: hasBias(file, /\.mlp\.[a-z]+_proj\.bias$/),
    bos_token_id: metadata.index('tokenizer.ggml.bos_token_id') ?? null,
    eos_token_id: endTokens(metadata),
  }
}
