/** Tells whether a GGUF file is of a Llama that Burrow computes as llama.cpp does. */
import type { GgufMetadata } from './gguf-metadata.ts'

/** Each would change what the model computes. */
const refusedKeys = [
  'llama.expert_count',
  'llama.attention.scale',
  'llama.embedding_scale',
  'llama.residual_scale',
  'llama.logit_scale',
] as const

/** @throws ModelFolderError for another architecture, or a part of a split file */
export const requireLlama = (metadata: GgufMetadata): void => {
  const architecture = metadata.string('general.architecture') ?? 'none'
  if (architecture !== 'llama') {
    throw metadata.error(`its architecture is ${architecture}; only llama is supported`)
  }
  if ((metadata.index('split.count') ?? 1) > 1) {
    throw metadata.error('it is one part of several: join them with llama-gguf-split --merge')
  }
  const refused = refusedKeys.find((key) => (metadata.number(key) ?? 0) !== 0)
  if (refused !== undefined) throw metadata.error(`${refused} is not supported`)
}

/** Of query, key and value heads; even. @throws ModelFolderError when the metadata has none */
export const headDimOf = (metadata: GgufMetadata): number => {
  const given = metadata.index('llama.attention.key_length')
  if (given !== undefined && given > 0 && given % 2 === 0) return given
  const hiddenSize = metadata.requiredCount('llama.embedding_length')
  const heads = metadata.requiredCount('llama.attention.head_count')
  if (hiddenSize % (2 * heads) === 0) return hiddenSize / heads
  throw metadata.error(`${heads} heads cannot share llama.embedding_length ${hiddenSize}`)
}
