/**
 * GGUF files of each architecture, written by llama.cpp's own package: the same model as the same weights
 * in Hugging Face's layout, computing what llama.cpp computes (fixtures/gguf-models/generate.py).
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { Checkpoint } from '../../../backend/checkpoint/checkpoint.ts'
import { readConfigText } from '../../../backend/checkpoint/config-text.ts'
import { parseConfig } from '../../../backend/checkpoint/config.ts'
import { convertModel } from '../../../backend/conversion/convert.ts'
import { Decoder } from '../../../backend/graph/decoder.ts'
import { loadTextFormat } from '../../../backend/tokenizer/load-tokenizer.ts'
import { readPlacedTensor } from '../../support/checkpoint-fixtures.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { randomWeights } from '../graph/random-weights.ts'
import { writeFloat32Tensors, type Float32Tensors } from './write-safetensors.ts'

const fixtures = fileURLToPath(new URL('../../fixtures/gguf-models', import.meta.url))

const readJson = <T>(name: string): T => JSON.parse(readFileSync(join(fixtures, name), 'utf8'))

const cases = readJson<{
  readonly base: { readonly vocab_size: number }
  readonly models: Readonly<Record<string, { readonly config: object }>>
}>('cases.json')

const golden = readJson<{
  readonly lengths: readonly number[]
  readonly probabilities: Readonly<Record<string, readonly (readonly number[])[]>>
}>('golden.json')

const vocabSize = cases.base.vocab_size
const tokens = Array.from({ length: 64 }, (_, i) => (7 * i * i + 3 * i + 5) % vocabSize)

/** llama.cpp computes in float16; the largest difference measured is 2e-4, of wrong rotations 5e-2. */
const tolerance = 1e-3

const softmax = (logits: Float32Array): number[] => {
  const weights = Array.from(logits, (logit) => Math.exp(logit - Math.max(...logits)))
  const sum = weights.reduce((total, weight) => total + weight, 0)
  return weights.map((weight) => weight / sum)
}

/** The model in Hugging Face's layout; its numbers are exact in float16. */
const writeFolder = (name: string): { folder: string; weights: Float32Tensors } => {
  const folder = tempFolder()
  const text = JSON.stringify({ ...cases.base, ...cases.models[name]?.config })
  writeFileSync(join(folder, 'config.json'), text)
  const weights = Object.fromEntries(
    Object.entries(randomWeights(parseConfig('config.json', text))).map(
      ([tensor, { shape, values }]) => [tensor, { shape, values: values.map(Math.f16round) }],
    ),
  )
  writeFloat32Tensors(join(folder, 'model.safetensors'), weights)
  return { folder, weights }
}

describe.each(Object.keys(cases.models))('%s', (name) => {
  const file = join(fixtures, `${name}.gguf`)

  test('has the configuration and the tensors of the same model in safetensors', async () => {
    const { folder, weights } = writeFolder(name)
    const [expected, found] = await Promise.all([folder, file].map(readConfigText))
    expect(parseConfig('x', found?.text ?? '')).toEqual(parseConfig('x', expected?.text ?? ''))
    const checkpoint = await Checkpoint.open(file)
    for (const [tensor, { shape, values }] of Object.entries(weights)) {
      checkpoint.requireTensor(tensor, shape)
      expect([tensor, readPlacedTensor(checkpoint, tensor)]).toEqual([tensor, [...values]])
    }
    await checkpoint.close()
  })

  test('computes what llama.cpp does', async () => {
    const folder = tempFolder()
    await convertModel(file, folder)
    const decoder = new Decoder(folder, { slots: 1, capacity: 64, intraOpNumThreads: 1 })
    const differences = golden.lengths.flatMap((length, row) => {
      const mine = softmax(decoder.prefill(0, 0, tokens.slice(0, length)))
      const theirs = golden.probabilities[name]?.[row] ?? []
      return mine.map((probability, id) => Math.abs(probability - (theirs[id] ?? 1)))
    })
    decoder.close()
    expect([differences.length, Math.max(...differences) < tolerance]).toEqual([6 * 40, true])
  })
})

test("the files' tokenizers and templates are read", async () => {
  for (const name of ['llama3', 'qwen3']) {
    const { tokenizer, chatTemplate } = await loadTextFormat(join(fixtures, `${name}.gguf`))
    const messages = [{ role: 'user', content: 'ab a' }] as const
    const text = chatTemplate?.render(messages, { addGenerationPrompt: true }) ?? ''
    expect(text).toBe('ab a<|turn|>')
    const start = name === 'llama3' ? [0] : []
    expect(tokenizer.encode(text, true)).toEqual([...start, 38, 39, 2])
    expect(tokenizer.decode([38, 39, 2, 3])).toBe('ab a\n')
  }
})
