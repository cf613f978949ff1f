/** What a GGUF file's metadata and tensors say of the model, in the words of config.json. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readConfigText } from '../../../backend/checkpoint/config-text.ts'
import { parseConfig } from '../../../backend/checkpoint/config.ts'
import { ModelFolderError } from '../../../backend/model-folder-error.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { ggufBytes, llamaMetadata as llama, type GgufContent } from './write-gguf.ts'

const save = (bytes: Uint8Array): string => {
  const path = join(tempFolder(), 'x.gguf')
  writeFileSync(path, bytes)
  return path
}

const config = async (
  fields: GgufContent['metadata'],
  tensors: GgufContent['tensors'] = [],
): Promise<unknown> => {
  const path = save(ggufBytes({ metadata: { ...llama, ...fields }, tensors }))
  return JSON.parse((await readConfigText(path)).text)
}

test.each<[string, GgufContent['metadata'], object]>([
  ['nothing', {}, { rope_theta: 10000, rope_scaling: null, num_key_value_heads: 2, head_dim: 16 }],
  ['key_length', { 'llama.attention.key_length': 48 }, { head_dim: 48, partial_rotary_factor: 1 }],
  ['fewer rotated', { 'llama.rope.dimension_count': 8 }, { partial_rotary_factor: 0.5 }],
  [
    'linear',
    { 'llama.rope.scaling.type': 'linear', 'llama.rope.scaling.factor': 4.5 },
    { rope_scaling: { rope_type: 'linear', factor: 4.5 } },
  ],
  [
    'older linear',
    { 'llama.rope.scale_linear': 2.5 },
    { rope_scaling: { rope_type: 'linear', factor: 2.5 } },
  ],
  [
    'yarn',
    {
      'llama.rope.scaling.type': 'yarn',
      'llama.rope.scaling.factor': 4.5,
      'llama.rope.scaling.original_context_length': 32,
    },
    { rope_scaling: { rope_type: 'yarn', factor: 4.5, original_max_position_embeddings: 32 } },
  ],
  [
    'yarn with its ramp',
    {
      'llama.rope.scaling.type': 'yarn',
      'llama.rope.scaling.factor': 4.5,
      'llama.rope.scaling.yarn_beta_fast': 16.5,
      'llama.rope.scaling.yarn_beta_slow': 0.5,
    },
    { rope_scaling: { rope_type: 'yarn', factor: 4.5, beta_fast: 16.5, beta_slow: 0.5 } },
  ],
  ['no scaling', { 'llama.rope.scaling.type': 'none' }, { rope_scaling: null }],
])('rotary settings of %s are those of config.json', async (_name, fields, expected) => {
  expect(await config(fields)).toMatchObject(expected)
})

/** What convert_hf_to_gguf.py writes for Llama 3.1, head_dim 16 and theta 500000. */
const llama3Divisors = (factor: number): number[] =>
  Array.from({ length: 8 }, (_, i) => {
    const wavelength = 2 * Math.PI * 500_000 ** (i / 8)
    if (wavelength < 8192 / 4) return 1
    if (wavelength > 8192) return factor
    const smooth = (8192 / wavelength - 1) / 3
    return 1 / ((1 - smooth) / factor + smooth)
  })

const divisorTensor = (values: readonly number[]): GgufContent['tensors'] => [
  { name: 'rope_freqs.weight', dims: [values.length], type: 0, data: Float32Array.from(values) },
]

test("Llama 3's scaling is found by its divisors", async () => {
  const theta = { 'llama.rope.freq_base': 500_000.5 }
  const near = { 'llama.rope.freq_base': 500_000 }
  expect(await config(theta, divisorTensor(Array(8).fill(1)))).toMatchObject({ rope_scaling: null })
  expect(await config(near, divisorTensor(llama3Divisors(8)))).toMatchObject({
    rope_theta: 500_000,
    rope_scaling: {
      rope_type: 'llama3',
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
    },
  })
  for (const values of [llama3Divisors(8).with(4, 9), llama3Divisors(8).with(4, NaN)]) {
    await expect(config(near, divisorTensor(values))).rejects.toThrow(
      'not of the scaling of Llama 3',
    )
  }
  for (const values of [llama3Divisors(8).slice(1), Array(1 << 20).fill(1)]) {
    await expect(config(near, divisorTensor(values))).rejects.toThrow(
      'its rope_freqs.weight does not have 8 values',
    )
  }
})

test.each<[object, string]>([
  [{ 'general.architecture': 'gemma' }, 'its architecture is gemma; known are llama, qwen2, qwen3'],
  [{ 'split.count': 3 }, 'it is one part of several: join them'],
  [{ 'llama.expert_count': 8 }, 'llama.expert_count is not supported'],
  [{ 'llama.logit_scale': 0.5 }, 'llama.logit_scale is not supported'],
  [{ 'llama.attention.head_count': 5 }, '5 heads cannot share llama.embedding_length 32'],
  [{ 'llama.attention.head_count': 0 }, 'llama.attention.head_count must be above 0'],
  [{ 'llama.attention.head_count': [2, 2] }, 'llama.attention.head_count must be one number'],
  [{ 'llama.block_count': 'x' }, 'llama.block_count must be one number'],
  [{ 'llama.attention.layer_norm_rms_epsilon': NaN }, 'rms_epsilon must be one number'],
  [{ 'llama.rope.freq_base': Infinity }, 'llama.rope.freq_base must be one number'],
  [{ 'llama.context_length': 1.5 }, 'llama.context_length must be a whole number'],
  [{ 'llama.rope.scaling.attn_factor': 2 }, 'llama.rope.scaling.attn_factor is not supported'],
  [{ 'llama.rope.scaling.yarn_attn_factor': 2 }, 'yarn_attn_factor is not supported'],
  [
    { 'llama.attention.key_length': 16, 'llama.attention.value_length': 32 },
    'keys of 16 and values of 32 differ',
  ],
  [{ 'general.alignment': 12 }, 'general.alignment must be a multiple of 8, not 12'],
])('the metadata %j is refused', async (fields, message) => {
  await expect(config({ ...fields })).rejects.toThrow(ModelFolderError)
  await expect(config({ ...fields })).rejects.toThrow(message)
})

const empty = (...names: string[]): GgufContent['tensors'] =>
  names.map((name) => ({ name, dims: [0], type: 0 }))

test('a window makes a Mistral of a Llama, and 0 is none', async () => {
  const window = (value: number) => ({ 'llama.attention.sliding_window': value })
  expect(await config({})).toMatchObject({ architectures: ['LlamaForCausalLM'] })
  expect(await config(window(0))).toMatchObject({ architectures: ['LlamaForCausalLM'] })
  expect(await config(window(12))).toMatchObject({
    architectures: ['MistralForCausalLM'],
    sliding_window: 12,
  })
  await expect(config(window(12), empty('blk.0.attn_q.bias'))).rejects.toThrow(
    'llama.attention.sliding_window together with biases is not supported',
  )
})

/** The settings of a Llama under another architecture's name. */
const as = (name: string): GgufContent['metadata'] => ({
  ...Object.fromEntries(
    Object.entries(llama).map(([key, value]) => [key.replace(/^llama\./, `${name}.`), value]),
  ),
  'general.architecture': name,
})

test('Qwen2 and Qwen3 have their own names for everything', async () => {
  expect(await config(as('qwen2'))).toMatchObject({
    architectures: ['Qwen2ForCausalLM'],
    hidden_size: 32,
  })
  const biases = empty('blk.0.attn_q.bias')
  expect(await config(as('qwen3'), biases)).toMatchObject({
    architectures: ['Qwen3ForCausalLM'],
    attention_bias: true,
  })
})

test.each([
  ['llama', 'blk.0.attn_q_norm.weight', 'its model.layers.0.self_attn.q_norm.weight is no'],
  ['llama', 'blk.0.ffn_gate_inp.weight', 'its blk.0.ffn_gate_inp.weight is no tensor of a llama'],
  ['llama', 'output_norm.bias', 'its model.norm.bias is no tensor of a llama'],
  ['qwen2', 'blk.1.attn_output.bias', 'its model.layers.1.self_attn.o_proj.bias is no'],
  ['qwen2', 'blk.0.attn_q_norm.weight', 'q_norm.weight is no tensor of a qwen2'],
  ['qwen3', 'blk.0.ffn_up.bias', 'its model.layers.0.mlp.up_proj.bias is no tensor of a qwen3'],
])('a %s with the tensor %s is refused', async (name, tensor, message) => {
  await expect(config(as(name), empty(tensor))).rejects.toThrow(ModelFolderError)
  await expect(config(as(name), empty(tensor))).rejects.toThrow(message)
})

test('tables that can be computed may stand in the file', async () => {
  const table = empty('blk.0.attn_rot_embd.weight')
  expect(await config({}, [...table, ...divisorTensor(Array(8).fill(1))])).toMatchObject({
    rope_scaling: null,
  })
})

test('what the configuration cannot be is refused by the name of the file', async () => {
  const path = save(ggufBytes({ metadata: { ...llama, 'llama.vocab_size': 0 }, tensors: [] }))
  const { text } = await readConfigText(path)
  expect(() => parseConfig(path, text)).toThrow(`cannot use ${path}: vocab_size must be`)
})
