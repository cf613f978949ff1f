import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { parseConfig, type LlamaConfig } from '../../../backend/checkpoint/config.ts'
import { ModelFolderError } from '../../../backend/model-folder-error.ts'

const required = {
  architectures: ['LlamaForCausalLM'],
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  vocab_size: 50,
}

const parse = (fields: object): LlamaConfig =>
  parseConfig('model/config.json', JSON.stringify({ ...required, ...fields }))

test("the bundled model's config is read", () => {
  const path = fileURLToPath(new URL('../../../backend/bundled-model/config.json', import.meta.url))
  expect(parseConfig(path, readFileSync(path, 'utf8'))).toEqual({
    hiddenSize: 256,
    intermediateSize: 768,
    numLayers: 6,
    numHeads: 16,
    numKvHeads: 8,
    headDim: 16,
    vocabSize: 640,
    maxPositions: 2048,
    rmsNormEpsilon: 1e-5,
    ropeTheta: 10000,
    tiesEmbeddings: true,
    bosToken: 0,
    eosTokens: [1],
  })
})

test('what a config leaves out is what LlamaConfig of transformers has by default', () => {
  expect(parse({})).toEqual({
    hiddenSize: 64,
    intermediateSize: 96,
    numLayers: 2,
    numHeads: 4,
    numKvHeads: 4,
    headDim: 16,
    vocabSize: 50,
    maxPositions: 2048,
    rmsNormEpsilon: 1e-6,
    ropeTheta: 10000,
    tiesEmbeddings: false,
    bosToken: null,
    eosTokens: [],
  })
})

test.each<[string, object, Partial<LlamaConfig>]>([
  ['null counts as left out', { num_key_value_heads: null, rope_scaling: null }, { numKvHeads: 4 }],
  ['head_dim wins over the division', { head_dim: 32 }, { headDim: 32 }],
  ['one end token', { eos_token_id: 2 }, { eosTokens: [2] }],
  ['several end tokens', { eos_token_id: [2, 3] }, { eosTokens: [2, 3] }],
  ['the older rope_theta', { rope_theta: 500000 }, { ropeTheta: 500000 }],
  [
    'the newer rope_parameters',
    { rope_parameters: { rope_type: 'default', rope_theta: 1e6 } },
    { ropeTheta: 1e6 },
  ],
  [
    'rotary scaling that is none',
    { rope_scaling: { type: 'default' }, rope_theta: 7 },
    { ropeTheta: 7 },
  ],
])('%s', (_name, fields, expected) => {
  expect(parse(fields)).toMatchObject(expected)
})

test.each<[object, string]>([
  [
    { architectures: ['MistralForCausalLM'] },
    'MistralForCausalLM is unknown; only LlamaForCausalLM',
  ],
  [{ architectures: [] }, 'no architecture is named'],
  [{ architectures: 'LlamaForCausalLM' }, 'no architecture is named'],
  [{ hidden_size: null }, 'hidden_size is missing'],
  [{ hidden_size: '64' }, 'hidden_size must be a whole number above 0'],
  [{ num_hidden_layers: 0 }, 'num_hidden_layers must be a whole number above 0'],
  [{ num_attention_heads: 2.5 }, 'num_attention_heads must be a whole number above 0'],
  [{ vocab_size: -1 }, 'vocab_size must be a whole number above 0'],
  [{ num_key_value_heads: 3 }, 'num_attention_heads 4 is no multiple of num_key_value_heads 3'],
  [{ num_attention_heads: 3 }, 'head_dim is missing, and hidden_size 64 is no multiple of'],
  [{ head_dim: 24 }, 'head_dim 24 is no multiple of 16'],
  [{ rms_norm_eps: 'small' }, 'rms_norm_eps must be a number above 0'],
  [{ rope_theta: 0 }, 'rope_theta must be a number above 0'],
  [
    { rope_scaling: { rope_type: 'llama3', factor: 8 } },
    "rotary scaling 'llama3' is not supported",
  ],
  [{ rope_scaling: { type: 'dynamic', factor: 8 } }, "rotary scaling 'dynamic' is not supported"],
  [{ rope_parameters: { rope_type: 'yarn' } }, "rotary scaling 'yarn' is not supported"],
  [{ rope_parameters: 5 }, 'rope_parameters must be an object'],
  [{ partial_rotary_factor: 0.5 }, 'partial_rotary_factor is not supported'],
  [{ hidden_act: 'gelu' }, "hidden_act 'gelu' is not supported"],
  [{ attention_bias: true }, 'attention_bias is not supported'],
  [{ mlp_bias: true }, 'mlp_bias is not supported'],
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
