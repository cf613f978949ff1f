/** The architectures of GGUF files that Burrow computes as llama.cpp does. */
import type { GgufMetadata } from './gguf-metadata.ts'

export type GgufArchitecture = {
  /** GGUF's name of it, with which the keys of its settings begin. */
  readonly name: string
  /** Its name in config.json where attention sees all positions. */
  readonly huggingFaceName: string
  /** llama.cpp rotates the neighbours in a head, where Hugging Face's model rotates its halves. */
  readonly rotatesNeighbours: boolean
  /** Modules of a layer, by Hugging Face's names: those whose bias is used, and those only some have. */
  readonly biases: readonly string[]
  readonly headNorms: readonly string[]
}

const queryKeyValue = ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj']
const attention = [...queryKeyValue, 'self_attn.o_proj']

const architectures: readonly GgufArchitecture[] = [
  {
    name: 'llama',
    huggingFaceName: 'LlamaForCausalLM',
    rotatesNeighbours: true,
    biases: [...attention, 'mlp.gate_proj', 'mlp.up_proj', 'mlp.down_proj'],
    headNorms: [],
  },
  {
    name: 'qwen2',
    huggingFaceName: 'Qwen2ForCausalLM',
    rotatesNeighbours: false,
    biases: queryKeyValue,
    headNorms: [],
  },
  {
    name: 'qwen3',
    huggingFaceName: 'Qwen3ForCausalLM',
    rotatesNeighbours: false,
    biases: attention,
    headNorms: ['self_attn.q_norm', 'self_attn.k_norm'],
  },
]

/** After the architecture's name; each would change what the model computes. */
const refusedKeys = [
  'expert_count',
  'attention.scale',
  'embedding_scale',
  'residual_scale',
  'logit_scale',
] as const

/** @throws ModelFolderError for another architecture, or a part of a split file */
export const readGgufArchitecture = (metadata: GgufMetadata): GgufArchitecture => {
  const name = metadata.string('general.architecture') ?? 'none'
  const found = architectures.find((architecture) => architecture.name === name)
  if (found === undefined) {
    const known = architectures.map((architecture) => architecture.name).join(', ')
    throw metadata.error(`its architecture is ${name}; known are ${known}`)
  }
  if ((metadata.index('split.count') ?? 1) > 1) {
    throw metadata.error('it is one part of several: join them with llama-gguf-split --merge')
  }
  for (const key of refusedKeys.map((refused) => `${name}.${refused}`)) {
    if ((metadata.number(key) ?? 0) !== 0) throw metadata.error(`${key} is not supported`)
  }
  return found
}

/**
 * The size of query, key and value heads; even.
 * @throws ModelFolderError when the metadata has none, or values of another size
 */
export const headDimOf = (metadata: GgufMetadata, { name }: GgufArchitecture): number => {
  const given = metadata.index(`${name}.attention.key_length`)
  const values = metadata.index(`${name}.attention.value_length`) ?? given
  if (values !== given) throw metadata.error(`keys of ${given} and values of ${values} differ`)
  if (given !== undefined && given > 0 && given % 2 === 0) return given
  const hiddenSize = metadata.requiredCount(`${name}.embedding_length`)
  const heads = metadata.requiredCount(`${name}.attention.head_count`)
  if (hiddenSize % (2 * heads) === 0) return hiddenSize / heads
  throw metadata.error(`${heads} heads cannot share ${name}.embedding_length ${hiddenSize}`)
}
