import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { convertModel } from '../../../backend/conversion/convert.ts'
import { Decoder } from '../../../backend/graph/decoder.ts'
import { encodingOf, type WeightFormat } from '../../../backend/graph/weight-format.ts'
import { openDecoder } from '../../../backend/sharding/sharded-decoder.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { storedValues } from './stored-values.ts'
import { maxDifference, TinyLlama } from './tiny-llama.ts'

const prompt = [3, 14, 15, 9, 2, 6, 5, 35, 8, 9, 7, 9, 32, 38, 46, 26]
const sizes = { num_attention_heads: 4, intermediate_size: 128 }
const alone = { tensorParallelSize: 1, pipelineParallelSize: 1 }
const options = { slots: 4, capacity: 48, intraOpNumThreads: 1 }

/** The model's logits after the prompt, and after one more token, decoded. */
const logitsOf = async (model: TinyLlama, format: WeightFormat, parallel = alone) => {
  const folder = tempFolder()
  model.write(folder)
  const graph = join(folder, 'graph')
  await convertModel(folder, graph, { format, parallel })
  const decoder = openDecoder(graph, options)
  try {
    const first = Float32Array.from(decoder.prefill(0, 0, prompt))
    return [first, Float32Array.from(decoder.decode(0, [21], [prompt.length]))] as const
  } finally {
    decoder.close()
  }
}

const size = (logits: readonly number[]): number => Math.hypot(...logits) / Math.sqrt(logits.length)

/** The model whose weights are what is stored of this one's. */
const storedModel = (model: TinyLlama, fields: object, format: WeightFormat): TinyLlama => {
  const tensors = Object.entries(model.tensors).map(([name, tensor]) => {
    const { shape, values } = tensor
    const [, columns = 1] = shape
    const isToken = name.includes('embed_tokens') || name.includes('lm_head')
    const role = isToken ? 'token' : 'matrix'
    const encoding = shape.length === 1 ? 'float32' : encodingOf(role, columns, format)
    return [name, { shape, values: storedValues(values, columns, encoding) }] as const
  })
  return new TinyLlama(fields, 1, Object.fromEntries(tensors))
}

// Of the logits' own size. Weights are compared as they are stored; what is left is float32's own error
// or, where they are quantised, that activations are rounded to 8 bits: each is off by up to 1/254 of the
// largest of its block, in seven products one after the other in each of three layers.
const tolerances = [
  [{ dtype: 'float16', quantization: 'none', embeddingQuantization: 'none' }, 1e-4],
  [{ dtype: 'bfloat16', quantization: 'none', embeddingQuantization: 'none' }, 1e-4],
  [{ dtype: 'float32', quantization: 'int8', embeddingQuantization: 'int8' }, 0.08],
  [{ dtype: 'float32', quantization: 'int4', embeddingQuantization: 'int8' }, 0.08],
  [{ dtype: 'float32', quantization: 'int4', embeddingQuantization: 'int4' }, 0.08],
] as const

describe.each(tolerances)('stored as %o', (format, tolerance) => {
  test.each([
    { tie_word_embeddings: false },
    { tie_word_embeddings: true },
    // Rows of the projection down are then no whole blocks.
    { intermediate_size: 80 },
  ])('the logits are those of the textbook for what is stored, %o', async (more) => {
    const fields = { ...sizes, ...more }
    const model = new TinyLlama(fields)
    const all = storedModel(model, fields, format).logits([...prompt, 21])
    const [afterPrompt = [], afterToken = []] = all.slice(-2)
    const [first, second] = await logitsOf(model, format)
    const allowed = tolerance * size(afterPrompt)
    expect(maxDifference(first, afterPrompt)).toBeLessThan(allowed)
    expect(maxDifference(second, afterToken)).toBeLessThan(allowed)
  })

  test('split over two ranks and two stages they stay so', async () => {
    const model = new TinyLlama(sizes)
    const [afterPrompt = []] = storedModel(model, sizes, format).logits(prompt).slice(-1)
    const parallel = { tensorParallelSize: 2, pipelineParallelSize: 2 }
    const [first] = await logitsOf(model, format, parallel)
    expect(maxDifference(first, afterPrompt)).toBeLessThan(tolerance * size(afterPrompt))
  })
})

test('eight bits: a row is the same to the last bit alone and among others', async () => {
  const folder = tempFolder()
  new TinyLlama(sizes).write(folder)
  const format = { dtype: 'float32', quantization: 'int8' } as const
  await convertModel(folder, join(folder, 'graph'), { format })
  const decoder = new Decoder(join(folder, 'graph'), options)
  const lengths = [5, 9, 2, 16]
  for (const [slot, length] of lengths.entries()) decoder.prefill(slot, 0, prompt.slice(0, length))
  const vocabSize = 50
  const together = Float32Array.from(decoder.decode(0, [1, 2, 3, 4], lengths))
  const differences = lengths.map((length, slot) =>
    maxDifference(Float32Array.from(decoder.decode(slot, [slot + 1], [length])), [
      ...together.subarray(slot * vocabSize, (slot + 1) * vocabSize),
    ]),
  )
  decoder.close()
  expect(differences).toEqual([0, 0, 0, 0])
})
