import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { parseConfig, type ModelConfig } from '../../../backend/checkpoint/config.ts'
import { ModelFolderError } from '../../../backend/model-folder-error.ts'

const required = {
  architectures: ['LlamaForCausalLM'],
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  vocab_size: 50,
}

const parse = (fields: object): ModelConfig =>
  parseConfig('model/config.json', JSON.stringify({ ...required, ...fields }))

test("the bundled model's config is read", () => {
  const path = fileURLToPath(new URL('../../../backend/bundled-model/config.json', import.meta.url))
  expect(parseConfig(path, readFileSync(path, 'utf8'))).toEqual({
    hasQkvBias: false,
    hasOutputBias: false,
    hasMlpBias: false,
    hasQueryKeyNorm: false,
    slidingWindows: [null, null, null, null, null, null],
    hiddenSize: 256,
    intermediateSize: 768,
    numLayers: 6,
    numHeads: 16,
    numKvHeads: 8,
    headDim: 16,
    vocabSize: 640,
    maxPositions: 2048,
    rmsNormEpsilon: 1e-5,
    rope: { theta: 10000, scaling: null },
    tiesEmbeddings: true,
    bosToken: 0,
    eosTokens: [1],
  })
})

test('what a config leaves out is what LlamaConfig of transformers has by default', () => {
  expect(parse({})).toEqual({
    hasQkvBias: false,
    hasOutputBias: false,
    hasMlpBias: false,
    hasQueryKeyNorm: false,
    slidingWindows: [null, null],
    hiddenSize: 64,
    intermediateSize: 96,
    numLayers: 2,
    numHeads: 4,
    numKvHeads: 4,
    headDim: 16,
    vocabSize: 50,
    maxPositions: 2048,
    rmsNormEpsilon: 1e-6,
    rope: { theta: 10000, scaling: null },
    tiesEmbeddings: false,
    bosToken: null,
    eosTokens: [],
  })
})

test.each<[string, object, Partial<ModelConfig>]>([
  ['null counts as left out', { num_key_value_heads: null, rope_scaling: null }, { numKvHeads: 4 }],
  ['head_dim wins over the division', { head_dim: 32 }, { headDim: 32 }],
  ['one end token', { eos_token_id: 2 }, { eosTokens: [2] }],
  ['several end tokens', { eos_token_id: [2, 3] }, { eosTokens: [2, 3] }],
])('%s', (_name, fields, expected) => {
  expect(parse(fields)).toMatchObject(expected)
})

test.each<[object, string]>([
  [{ hidden_size: null }, 'hidden_size is missing'],
  [{ hidden_size: '64' }, 'hidden_size must be a whole number above 0'],
  [{ num_hidden_layers: 0 }, 'num_hidden_layers must be a whole number above 0'],
  [{ num_hidden_layers: 1e9 }, 'num_hidden_layers 1000000000 is more than the 4096 supported'],
  [{ num_attention_heads: 2.5 }, 'num_attention_heads must be a whole number above 0'],
  [{ vocab_size: -1 }, 'vocab_size must be a whole number above 0'],
  [{ num_key_value_heads: 3 }, 'num_attention_heads 4 is no multiple of num_key_value_heads 3'],
  [{ num_attention_heads: 3 }, 'head_dim is missing, and hidden_size 64 is no multiple of'],
  [{ head_dim: 24 }, 'head_dim 24 is no multiple of 16'],
  [{ head_dim: 100 }, 'head_dim 100 is no multiple of 16, which rotary attention needs'],
  [{ rms_norm_eps: 'small' }, 'rms_norm_eps must be a number above 0'],
  [
    { max_position_embeddings: 16777217 },
    '16777217 positions are more than the 16777216 that can be told apart',
  ],
  [{ hidden_act: 'gelu' }, "hidden_act 'gelu' is not supported"],
  [{ mlp_bias: 1 }, 'mlp_bias must be true or false'],
  [{ tie_word_embeddings: 'yes' }, 'tie_word_embeddings must be true or false'],
  [{ quantization_config: { bits: 4 } }, 'a quantised checkpoint is not supported'],
  [{ eos_token_id: 'end' }, 'eos_token_id must be a token id or a list of token ids'],
  [{ eos_token_id: [1, -1] }, 'eos_token_id must be a token id or a list of token ids'],
  [{ eos_token_id: 50 }, 'token id 50 is not below vocab_size 50'],
])('%j is refused: %s', (fields, message) => {
  expect(() => parse(fields)).toThrow(ModelFolderError)
  expect(() => parse(fields)).toThrow(`cannot use model/config.json: ${message}`)
})

test.each(['', '{', '[]', 'null', '"x"'])('%j is no config', (text) => {
  expect(() => parseConfig('c', text)).toThrow(/cannot use c: /)
})
