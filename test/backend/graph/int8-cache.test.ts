import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { convertModel } from '../../../backend/conversion/convert.ts'
import { hasInt8Cache, writeInt8Cache } from '../../../backend/graph/int8-cache.ts'
import { calibrateCache } from '../../../backend/sharding/calibrate-cache.ts'
import { openDecoder } from '../../../backend/sharding/sharded-decoder.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { maxDifference, TinyLlama } from './tiny-llama.ts'

const prompt = [3, 14, 15, 9, 2, 6, 5, 35, 8, 9, 7, 9, 32, 38, 46, 26]
const options = { slots: 4, capacity: 48, intraOpNumThreads: 1 }

// The logits are of size 1. A key or value is off by up to 1/230 of the largest of its channel.
const tolerance = 0.06

const model = new TinyLlama({ num_attention_heads: 8, num_key_value_heads: 4 })

const convert = async (parallel: { tensorParallelSize: number; pipelineParallelSize: number }) => {
  const folder = tempFolder()
  model.write(folder)
  const graph = join(folder, 'graph')
  await convertModel(folder, graph, { parallel })
  return { folder, graph }
}

describe.each([
  [1, 1],
  [2, 1],
  [1, 2],
  [8, 2],
])('over %i × %i ranks', (tensorParallelSize, pipelineParallelSize) => {
  test('an int8 cache gives nearly the logits of the textbook', async () => {
    const { folder, graph } = await convert({ tensorParallelSize, pipelineParallelSize })
    expect(hasInt8Cache(graph)).toBe(false)
    const scales = calibrateCache(graph, [[...prompt, 20, 21]], 1)
    await writeInt8Cache(graph, { modelFolder: folder }, scales)
    expect(hasInt8Cache(graph)).toBe(true)

    const decoder = openDecoder(graph, { ...options, cacheDtype: 'int8' })
    const all = model.logits([...prompt, 20, 21])
    // Prefill in chunks, decode among others, and in another slot.
    decoder.prefill(2, 0, prompt.slice(0, 7))
    const first = maxDifference(decoder.prefill(2, 7, prompt.slice(7)), all.at(-3) ?? [])
    decoder.prefill(1, 0, [9, 9, 9])
    decoder.copySlot(2, 0, prompt.length)
    const together = decoder.decode(0, [20, 5, 5], [prompt.length, 3, prompt.length])
    const second = maxDifference(together.subarray(0, 50), all.at(-2) ?? [])
    decoder.swapSlots(0, 3, prompt.length + 1)
    const last = decoder.decode(3, [21], [prompt.length + 1])
    const third = maxDifference(last, all.at(-1) ?? [])
    decoder.close()
    expect([first, second, third].filter((x) => x > tolerance)).toEqual([])
    expect(Math.min(second, third)).toBeGreaterThan(0)
  })
})

test('the scales are the same however the model is split', async () => {
  const whole = await convert({ tensorParallelSize: 1, pipelineParallelSize: 1 })
  const split = await convert({ tensorParallelSize: 2, pipelineParallelSize: 3 })
  const expected = calibrateCache(whole.graph, [prompt, [1, 2, 3]], 1)
  const actual = calibrateCache(split.graph, [prompt, [1, 2, 3]], 1)
  const numbers = (scales: typeof actual) =>
    scales.flatMap(({ keys, values }) => [...keys, ...values])
  expect(actual).toHaveLength(3)
  expect(maxDifference(numbers(actual), numbers(expected))).toBeLessThan(1e-6)
})

test('keys that rotation makes larger than any that were measured are not cut off', async () => {
  // One channel of a pair of little frequency is large: hundreds of positions on, its partner is.
  const far = new TinyLlama({ rope_theta: 10000, max_position_embeddings: 1024 }, 5)
  const weight = far.tensors['model.layers.0.self_attn.k_proj.weight']!
  const { hiddenSize } = far.config
  for (const row of [6, 22]) {
    const values = weight.values.subarray(row * hiddenSize, (row + 1) * hiddenSize)
    for (let i = 0; i < values.length; i++) values[i] = values[i]! * 4
  }
  const folder = tempFolder()
  far.write(folder)
  const graph = join(folder, 'graph')
  await convertModel(folder, graph)
  const text = Array.from({ length: 900 }, (_, i) => (i * 31 + (i >> 3)) % 50)
  const scales = calibrateCache(graph, [text.slice(0, 100)], 1)
  await writeInt8Cache(graph, { modelFolder: folder }, scales)
  const last = (cacheDtype: 'float32' | 'int8'): number[] => {
    const decoder = openDecoder(graph, { ...options, capacity: 1024, cacheDtype })
    const logits = [...decoder.prefill(0, 0, text)]
    decoder.close()
    return logits
  }
  expect(maxDifference(last('int8'), last('float32'))).toBeLessThan(0.1)
})

test('weights are read as they were converted, embedding and head of 4 bits too', async () => {
  const folder = tempFolder()
  model.write(folder)
  const graph = join(folder, 'graph')
  await convertModel(folder, graph, {
    format: { dtype: 'float32', quantization: 'int4', embeddingQuantization: 'int4' },
  })
  const scales = calibrateCache(graph, [[...prompt, 20]], 1)
  await writeInt8Cache(graph, { modelFolder: folder }, scales)
  const [expected = [], actual = []] = (['float32', 'int8'] as const).map((cacheDtype) => {
    const decoder = openDecoder(graph, { ...options, cacheDtype })
    decoder.prefill(0, 0, prompt)
    const logits = [...decoder.decode(0, [20], [prompt.length])]
    decoder.close()
    return logits
  })
  // Activations are rounded too, now and then to another step.
  expect(maxDifference(actual, expected)).toBeLessThan(2 * tolerance)
})

test('graphs that are torn, or of another conversion, do not count', async () => {
  const { folder, graph } = await convert({ tensorParallelSize: 1, pipelineParallelSize: 1 })
  const scales = calibrateCache(graph, [prompt], 1)
  await writeInt8Cache(graph, { modelFolder: folder }, scales)
  writeFileSync(join(graph, 'model.int8-cache.onnx'), '')
  expect(hasInt8Cache(graph)).toBe(false)
  await writeInt8Cache(graph, { modelFolder: folder }, scales)
  expect(hasInt8Cache(graph)).toBe(true)
  const record = join(graph, 'int8-cache.json')
  writeFileSync(
    record,
    readFileSync(record, 'utf8').replace(/"fingerprint": "../, '"fingerprint": "zz'),
  )
  expect(hasInt8Cache(graph)).toBe(false)
})
