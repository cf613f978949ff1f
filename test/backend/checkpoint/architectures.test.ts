import { expect, test } from 'vitest'
import { parseConfig, type ModelConfig } from '../../../backend/checkpoint/config.ts'

const required = {
  hidden_size: 128,
  intermediate_size: 96,
  num_hidden_layers: 4,
  num_attention_heads: 8,
  vocab_size: 50,
}

const parse = (fields: object): ModelConfig =>
  parseConfig('model/config.json', JSON.stringify({ ...required, ...fields }))

const [llama, mistral, qwen2, qwen3] = ['Llama', 'Mistral', 'Qwen2', 'Qwen3'].map((name) => ({
  architectures: [`${name}ForCausalLM`],
}))

const plain = {
  hasQkvBias: false,
  hasOutputBias: false,
  hasMlpBias: false,
  hasQueryKeyNorm: false,
  slidingWindows: [null, null, null, null],
  numKvHeads: 8,
  headDim: 16,
  maxPositions: 2048,
}

test.each<[string, object, object]>([
  ['a plain Llama', { ...llama }, plain],
  [
    'a Llama with biases',
    { ...llama, attention_bias: true, mlp_bias: true },
    { ...plain, hasQkvBias: true, hasOutputBias: true, hasMlpBias: true },
  ],
  [
    'Mistral by its defaults',
    { ...mistral },
    { ...plain, slidingWindows: [4096, 4096, 4096, 4096], maxPositions: 131072 },
  ],
  [
    'Mistral without a window',
    { ...mistral, sliding_window: null, num_key_value_heads: 2 },
    { ...plain, numKvHeads: 2, maxPositions: 131072 },
  ],
  [
    'Qwen2, whose null means a key head for each query head',
    { ...qwen2, num_key_value_heads: null },
    { ...plain, hasQkvBias: true, maxPositions: 32768 },
  ],
  [
    'Qwen2 with windows from a layer on',
    { ...qwen2, num_key_value_heads: 4, use_sliding_window: true, max_window_layers: 3 },
    {
      ...plain,
      hasQkvBias: true,
      numKvHeads: 4,
      slidingWindows: [null, null, null, 4096],
      maxPositions: 32768,
    },
  ],
  [
    'Qwen3 by its defaults',
    { ...qwen3, num_key_value_heads: 2 },
    { ...plain, hasQueryKeyNorm: true, numKvHeads: 2, headDim: 128, maxPositions: 32768 },
  ],
  [
    'Qwen3 with windows in all layers and biases',
    {
      ...qwen3,
      num_key_value_heads: 8,
      head_dim: 16,
      attention_bias: true,
      use_sliding_window: true,
      sliding_window: 7,
      max_window_layers: 0,
    },
    {
      ...plain,
      hasQkvBias: true,
      hasOutputBias: true,
      hasQueryKeyNorm: true,
      slidingWindows: [7, 7, 7, 7],
      maxPositions: 32768,
    },
  ],
  [
    'the first known one of several architectures',
    { architectures: ['MyOwnModel', 'LlamaForCausalLM'] },
    plain,
  ],
])('%s', (_name, fields, expected) => {
  const config = parse(fields)
  const read = Object.fromEntries(
    Object.entries(config).filter(([name]) => Object.hasOwn(plain, name)),
  )
  expect(read).toEqual(expected)
})

const known = 'known are LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM'

test.each<[object, string]>([
  [{ architectures: ['GemmaForCausalLM'] }, `GemmaForCausalLM is unknown; ${known}`],
  [{ architectures: ['toString'] }, `toString is unknown; ${known}`],
  [{ architectures: ['A', 'B'] }, `A, B is unknown; ${known}`],
  [{ architectures: [] }, `no architecture is named; ${known}`],
  [{ architectures: 'LlamaForCausalLM' }, `no architecture is named; ${known}`],
  [{ ...mistral, sliding_window: 0 }, 'sliding_window must be a whole number above 0'],
  [{ ...qwen2 }, 'num_attention_heads 8 is no multiple of num_key_value_heads 32'],
  [
    { ...qwen2, use_sliding_window: true, max_window_layers: -1 },
    'max_window_layers must be a whole number, 0 or more',
  ],
  [
    { ...qwen3, use_sliding_window: true, layer_types: ['full_attention'] },
    'layer_types must be a list of 4, one for each layer',
  ],
  [
    { ...qwen3, use_sliding_window: true, layer_types: Array(4).fill('linear_attention') },
    'layer_types has "linear_attention"',
  ],
  [
    { ...qwen3, layer_types: Array(4).fill('sliding_attention') },
    'layer_types has sliding_attention, but there is no sliding window',
  ],
])('%j is refused: %s', (fields, message) => {
  expect(() => parse(fields)).toThrow(`cannot use model/config.json: ${message}`)
})
