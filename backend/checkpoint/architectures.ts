/**
 * The architectures that can be computed, all of the Llama family: what each has beside the plain
 * Llama decoder, and what its configuration class in transformers has for fields left out.
 */
import type { JsonFile } from './json-file.ts'
import { layeredWindows, noWindows, uniformWindows, type SlidingWindows } from './sliding-window.ts'

/** In what a model differs from the plain Llama decoder. */
export type Variant = {
  /** The projections to queries, keys and values add a bias. */
  readonly hasQkvBias: boolean
  /** The projection of what attention found adds a bias. */
  readonly hasOutputBias: boolean
  /** All three projections of the feed-forward part add a bias. */
  readonly hasMlpBias: boolean
  /** Each query and key head has its RMS norm before it is rotated. */
  readonly hasQueryKeyNorm: boolean
  readonly slidingWindows: SlidingWindows
}

export type Architecture = {
  readonly defaults: {
    readonly maxPositions: number
    /** When left out: as many as there are query heads. */
    readonly numKvHeads?: number
    /** When left out: hidden_size / num_attention_heads. */
    readonly headDim?: number
  }
  readonly readVariant: (file: JsonFile, numLayers: number) => Variant
}

const plain = { hasQkvBias: false, hasOutputBias: false, hasMlpBias: false, hasQueryKeyNorm: false }

const architectures: Readonly<Record<string, Architecture>> = {
  /** Also TigerBot, Yi, SmolLM2 and others. */
  LlamaForCausalLM: {
    defaults: { maxPositions: 2048 },
    readVariant: (file, numLayers) => {
      const hasAttentionBias = file.boolean('attention_bias') ?? false
      return {
        ...plain,
        hasQkvBias: hasAttentionBias,
        hasOutputBias: hasAttentionBias,
        hasMlpBias: file.boolean('mlp_bias') ?? false,
        slidingWindows: noWindows(numLayers),
      }
    },
  },
  MistralForCausalLM: {
    defaults: { maxPositions: 131_072, numKvHeads: 8 },
    readVariant: (file, numLayers) => ({
      ...plain,
      slidingWindows: uniformWindows(file, numLayers),
    }),
  },
  Qwen2ForCausalLM: {
    defaults: { maxPositions: 32_768, numKvHeads: 32 },
    readVariant: (file, numLayers) => ({
      ...plain,
      hasQkvBias: true,
      slidingWindows: layeredWindows(file, numLayers),
    }),
  },
  Qwen3ForCausalLM: {
    defaults: { maxPositions: 32_768, numKvHeads: 32, headDim: 128 },
    readVariant: (file, numLayers) => {
      const hasAttentionBias = file.boolean('attention_bias') ?? false
      return {
        ...plain,
        hasQkvBias: hasAttentionBias,
        hasOutputBias: hasAttentionBias,
        hasQueryKeyNorm: true,
        slidingWindows: layeredWindows(file, numLayers),
      }
    },
  },
}

/** By the names in `architectures`. @throws ModelFolderError that lists the known ones */
export const readArchitecture = (file: JsonFile): Architecture => {
  const names: readonly unknown[] = Array.isArray(file.fields.architectures)
    ? file.fields.architectures
    : []
  for (const name of names) {
    if (typeof name === 'string' && Object.hasOwn(architectures, name)) {
      const known = architectures[name]
      if (known !== undefined) return known
    }
  }
  const found = names.length === 0 ? 'no architecture is named' : `${names.join(', ')} is unknown`
  throw file.error(`${found}; known are ${Object.keys(architectures).join(', ')}`)
}
