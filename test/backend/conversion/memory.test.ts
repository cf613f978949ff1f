import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { safetensorsBytes } from '../checkpoint/write-safetensors.ts'
import { tempFolder } from '../../support/temp-folder.ts'

/** A model that is almost only its embedding: 384 MiB of float32 in one tensor, with no block on disk. */
const writeLargeEmbedding = (folder: string): number => {
  const [vocab, hidden] = [393_216, 256]
  const layer = 'model.layers.0'
  const shapes: Record<string, number[]> = {
    'model.embed_tokens.weight': [vocab, hidden],
    'model.norm.weight': [hidden],
    [`${layer}.input_layernorm.weight`]: [hidden],
    [`${layer}.post_attention_layernorm.weight`]: [hidden],
    [`${layer}.self_attn.q_proj.weight`]: [hidden, hidden],
    [`${layer}.self_attn.k_proj.weight`]: [hidden, hidden],
    [`${layer}.self_attn.v_proj.weight`]: [hidden, hidden],
    [`${layer}.self_attn.o_proj.weight`]: [hidden, hidden],
    [`${layer}.mlp.gate_proj.weight`]: [hidden, hidden],
    [`${layer}.mlp.up_proj.weight`]: [hidden, hidden],
    [`${layer}.mlp.down_proj.weight`]: [hidden, hidden],
  }
  let end = 0
  const header = Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => {
      const begin = end
      end += shape.reduce((product, dim) => product * dim, 4)
      return [name, { dtype: 'F32', shape, data_offsets: [begin, end] }]
    }),
  )
  const start = safetensorsBytes(header)
  const path = join(folder, 'model.safetensors')
  writeFileSync(path, start)
  truncateSync(path, start.length + end)
  const config = {
    architectures: ['LlamaForCausalLM'],
    hidden_size: hidden,
    intermediate_size: hidden,
    num_hidden_layers: 1,
    num_attention_heads: 4,
    num_key_value_heads: 4,
    vocab_size: vocab,
    max_position_embeddings: 64,
    tie_word_embeddings: true,
  }
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config))
  return end
}

test.skipIf(process.platform !== 'linux')('memory is a fraction of one tensor', async () => {
  const folder = tempFolder()
  const model = join(folder, 'model')
  mkdirSync(model)
  const numBytes = writeLargeEmbedding(model)
  const script = fileURLToPath(new URL('./convert-large.ts', import.meta.url))
  const child = spawn(process.execPath, [script, model, join(folder, 'out')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (more: string) => (text += more))
  const [code] = await once(child, 'close')
  expect(code).toBe(0)
  const peak = Number(text) * 1024
  expect(peak).toBeGreaterThan(10e6)
  expect(peak).toBeLessThan(numBytes * 0.75)
  expect(JSON.parse(readFileSync(join(folder, 'out', 'manifest.json'), 'utf8'))).toMatchObject({
    quantization: 'int4',
  })
})
