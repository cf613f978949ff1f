import { expect, test } from 'vitest'
import { parseConfig, type ModelConfig } from '../../../backend/checkpoint/config.ts'
import type { Rope, RopeOverride } from '../../../backend/checkpoint/rope-scaling.ts'

const required = {
  architectures: ['LlamaForCausalLM'],
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  vocab_size: 50,
  max_position_embeddings: 4096,
}

const parse = (fields: object, override?: RopeOverride): ModelConfig =>
  parseConfig('model/config.json', JSON.stringify({ ...required, ...fields }), override)

const yarn = {
  type: 'yarn',
  factor: 4,
  originalPositions: 4096,
  betaFast: 32,
  betaSlow: 1,
  attentionFactor: 0.1 * Math.log(4) + 1,
  truncates: true,
} as const

const llama3Fields = { factor: 8, low_freq_factor: 1, high_freq_factor: 4 }
const llama3 = {
  type: 'llama3',
  factor: 8,
  originalPositions: 512,
  lowFrequencyFactor: 1,
  highFrequencyFactor: 4,
} as const

type Expected = Rope & { readonly maxPositions: number }

test.each<[string, object, Expected]>([
  ['no base', {}, { theta: 10000, scaling: null, maxPositions: 4096 }],
  ['the old base', { rope_theta: 5e5 }, { theta: 5e5, scaling: null, maxPositions: 4096 }],
  [
    'the new base before the old one',
    { rope_theta: 7, rope_parameters: { rope_type: 'default', rope_theta: 1e6 } },
    { theta: 1e6, scaling: null, maxPositions: 4096 },
  ],
  [
    'old scaling that is none',
    { rope_theta: 7, rope_scaling: { type: 'default' } },
    { theta: 7, scaling: null, maxPositions: 4096 },
  ],
  [
    'old scaling added to a config of the new form',
    {
      rope_scaling: { type: 'linear', factor: 2 },
      rope_parameters: { rope_type: 'default', rope_theta: 1e6 },
    },
    { theta: 1e6, scaling: { type: 'linear', factor: 2 }, maxPositions: 8192 },
  ],
  [
    'dynamic scaling',
    { rope_parameters: { rope_type: 'dynamic', factor: 1.5, rope_theta: 9 } },
    {
      theta: 9,
      scaling: { type: 'dynamic', factor: 1.5, originalPositions: 4096 },
      maxPositions: 6144,
    },
  ],
  [
    'yarn by its defaults',
    { rope_scaling: { type: 'yarn', factor: 4 } },
    { theta: 10000, scaling: yarn, maxPositions: 16384 },
  ],
  [
    'yarn whose original length is beside it, and whose factor is the ratio',
    { original_max_position_embeddings: 512, rope_scaling: { rope_type: 'yarn' } },
    {
      theta: 10000,
      scaling: {
        ...yarn,
        factor: 8,
        originalPositions: 512,
        attentionFactor: 0.1 * Math.log(8) + 1,
      },
      maxPositions: 4096,
    },
  ],
  [
    'yarn with everything',
    {
      rope_parameters: {
        rope_type: 'yarn',
        factor: 4,
        original_max_position_embeddings: 2048,
        beta_fast: 16,
        beta_slow: 2,
        attention_factor: 1.5,
        truncate: false,
      },
    },
    {
      theta: 10000,
      scaling: {
        type: 'yarn',
        factor: 4,
        originalPositions: 2048,
        betaFast: 16,
        betaSlow: 2,
        attentionFactor: 1.5,
        truncates: false,
      },
      maxPositions: 8192,
    },
  ],
  [
    'llama3, whose length counts as scaled already',
    {
      rope_scaling: {
        ...llama3Fields,
        rope_type: 'llama3',
        type: 'ignored',
        original_max_position_embeddings: 512,
      },
    },
    { theta: 10000, scaling: llama3, maxPositions: 4096 },
  ],
])('%s', (_name, fields, { theta, scaling, maxPositions }) => {
  const config = parse(fields)
  expect([config.rope, config.maxPositions]).toEqual([{ theta, scaling }, maxPositions])
})

test.each<[string, object, RopeOverride, Expected]>([
  [
    'scaling for a config without any',
    { rope_theta: 5 },
    { type: 'llama3', factor: 8 },
    { theta: 5, scaling: { ...llama3, originalPositions: 4096 }, maxPositions: 32768 },
  ],
  [
    "another factor for the config's own scaling",
    { rope_scaling: { type: 'yarn', factor: 2, beta_fast: 16 } },
    { type: 'yarn', factor: 4 },
    { theta: 10000, scaling: { ...yarn, betaFast: 16 }, maxPositions: 16384 },
  ],
  [
    'another type, over the same original length',
    {
      rope_parameters: {
        ...llama3Fields,
        rope_type: 'llama3',
        rope_theta: 5e5,
        original_max_position_embeddings: 2048,
      },
    },
    { type: 'yarn', factor: 4 },
    { theta: 5e5, scaling: { ...yarn, originalPositions: 2048 }, maxPositions: 8192 },
  ],
])('asked for: %s', (_name, fields, override, { theta, scaling, maxPositions }) => {
  const config = parse(fields, override)
  expect([config.rope, config.maxPositions]).toEqual([{ theta, scaling }, maxPositions])
})

test.each<[object, string]>([
  [{ rope_theta: 0 }, 'rope_theta must be a number above 0'],
  [{ rope_parameters: 5 }, 'rope_parameters must be an object'],
  [
    { rope_scaling: { type: 'longrope', factor: 8 } },
    "rotary scaling 'longrope' is not supported; known are linear, dynamic, yarn, llama3",
  ],
  [{ rope_scaling: { type: 'linear' } }, "rotary scaling 'linear' needs a factor"],
  [{ rope_scaling: { type: 'yarn' } }, "rotary scaling 'yarn' needs a factor"],
  [{ rope_scaling: { type: 'linear', factor: '4' } }, 'factor must be a number above 0'],
  [
    { rope_scaling: { type: 'dynamic', factor: 0.5 } },
    "rotary scaling's factor must be 1 or more, not 0.5",
  ],
  [
    { rope_scaling: { type: 'linear', factor: 1e9 } },
    '4096000000000 positions are more than the 16777216 that can be told apart',
  ],
  [
    { rope_scaling: { type: 'yarn', factor: 4, beta_fast: 1, beta_slow: 2 } },
    'beta_fast 1 must not be below beta_slow 2',
  ],
  [{ rope_scaling: { type: 'yarn', factor: 4, truncate: 1 } }, 'truncate must be true or false'],
  [
    { rope_scaling: { rope_type: 'llama3', factor: 8 } },
    "rotary scaling 'llama3' needs low_freq_factor and high_freq_factor",
  ],
  [
    { rope_scaling: { rope_type: 'llama3', factor: 8, low_freq_factor: 4, high_freq_factor: 4 } },
    'high_freq_factor 4 must be above low_freq_factor 4',
  ],
  [
    { rope_parameters: { full_attention: { rope_type: 'default', rope_theta: 1e6 } } },
    'rotary parameters that differ by layer are not supported',
  ],
  [{ partial_rotary_factor: 0.5 }, 'partial_rotary_factor is not supported'],
  [
    { rope_parameters: { rope_type: 'default', partial_rotary_factor: 0.5 } },
    'partial_rotary_factor is not supported',
  ],
])('%j is refused: %s', (fields, message) => {
  expect(() => parse(fields)).toThrow(`cannot use model/config.json: ${message}`)
})
