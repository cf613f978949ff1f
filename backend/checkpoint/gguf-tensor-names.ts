/** What llama.cpp calls the tensors of the Llama family, and which of them it stores in another row order. */
import type { GgufArchitecture } from './gguf-architecture.ts'

const outer: ReadonlyMap<string, string> = new Map([
  ['token_embd', 'model.embed_tokens'],
  ['output_norm', 'model.norm'],
  ['output', 'lm_head'],
])

/** Inside `blk.N.` and `model.layers.N.`. */
const inLayer: ReadonlyMap<string, string> = new Map([
  ['attn_norm', 'input_layernorm'],
  ['attn_q', 'self_attn.q_proj'],
  ['attn_k', 'self_attn.k_proj'],
  ['attn_v', 'self_attn.v_proj'],
  ['attn_output', 'self_attn.o_proj'],
  ['attn_q_norm', 'self_attn.q_norm'],
  ['attn_k_norm', 'self_attn.k_norm'],
  ['ffn_norm', 'post_attention_layernorm'],
  ['ffn_gate', 'mlp.gate_proj'],
  ['ffn_up', 'mlp.up_proj'],
  ['ffn_down', 'mlp.down_proj'],
])

const outerModules = new Set(outer.values())
const inLayerModules = new Set(inLayer.values())

/** Hugging Face's name of a GGUF tensor; a tensor that has none there keeps its own. */
export const huggingFaceName = (name: string): string => {
  const [, layer, part = '', kind] = /^(?:blk\.(\d+)\.)?([a-z_]+)\.(weight|bias)$/.exec(name) ?? []
  const known = layer === undefined ? outer.get(part) : inLayer.get(part)
  if (known === undefined) return name
  return layer === undefined ? `${known}.${kind}` : `model.layers.${layer}.${known}.${kind}`
}

/** Tables that can be computed: rope_freqs.weight is read for its scaling. */
const isTable = (name: string): boolean =>
  name === 'rope_freqs.weight' || /^blk\.\d+\.attn_rot_embd\.weight$/.test(name)

/**
 * Whether the architecture has such a tensor: one that it has not would be left out of what is computed.
 * @param name Hugging Face's
 */
export const isTensorOf = ({ biases, headNorms }: GgufArchitecture, name: string): boolean => {
  const [, module = '', kind] = /^(?:model\.layers\.\d+\.)?(.+)\.(weight|bias)$/.exec(name) ?? []
  if (kind === 'bias') return biases.includes(module)
  const isOptional = module.endsWith('_norm') && module.startsWith('self_attn.')
  if (isOptional) return headNorms.includes(module)
  return inLayerModules.has(module) || outerModules.has(module) || isTable(name)
}

/**
 * Whether llama.cpp stores the tensor's rows as row-order.ts says, in architectures that rotate neighbours.
 * @param name Hugging Face's
 */
export const isInterleaved = (name: string): boolean =>
  /\.self_attn\.[qk]_proj\.(weight|bias)$/.test(name)
