/** The logits of a prompt's positions: of the whole model and of a sharded one, in any pieces. */
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { convertModel } from '../../../backend/conversion/convert.ts'
import { maxLogitsRows } from '../../../backend/graph/step-limits.ts'
import { openDecoder } from '../../../backend/sharding/sharded-decoder.ts'
import { makeTempFolder, removeFolder } from '../../support/temp-folder.ts'
import { maxDifference, TinyLlama } from './tiny-llama.ts'

const tolerance = 2e-5
const model = new TinyLlama({ max_position_embeddings: 128 })
// Enough for several micro-batches of a pipeline.
const prompt = Array.from({ length: 101 }, (_, i) => (i * i * 7 + 3) % 50)
const expected = model.logits(prompt)

let folder = ''
beforeAll(() => {
  folder = makeTempFolder()
  model.write(folder)
})
afterAll(() => removeFolder(folder))

/** The logits after the prompt's last `count` tokens before `end`, row by row. */
const textbook = (end: number, count: number): number[] => expected.slice(end - count, end).flat()

test.each([
  [1, 1],
  [2, 1],
  [1, 2],
  [2, 2],
])(
  'tensor parallel %i × pipeline parallel %i: they are those of the textbook',
  async (tensorParallelSize, pipelineParallelSize) => {
    const parallel = { tensorParallelSize, pipelineParallelSize }
    const out = join(folder, `${tensorParallelSize}-${pipelineParallelSize}`)
    await convertModel(folder, out, { parallel })
    const decoder = openDecoder(out, { slots: 3, capacity: 120, intraOpNumThreads: 1 })
    const differences: number[] = []
    // The whole prompt, as many of its last positions as there may be of a shorter piece, and chunks.
    for (const numLogits of [101, 70, 36, 1]) {
      const logits = decoder.prefill(1, 0, prompt, numLogits)
      differences.push(maxDifference(logits, textbook(101, numLogits)))
    }
    let past = 0
    for (const [size, numLogits] of [
      [1, 1],
      [40, 40],
      [2, 1],
      [58, 50],
    ] as const) {
      const logits = decoder.prefill(2, past, prompt.slice(past, past + size), numLogits)
      past += size
      differences.push(maxDifference(logits, textbook(past, numLogits)))
    }
    // A step of another form takes the same memory.
    const decoded = decoder.decode(1, [7, 7], [101, 101])
    differences.push(maxDifference(decoded.subarray(0, 50), decoded.subarray(50)))
    decoder.close()
    expect(differences.filter((difference) => !(difference < tolerance))).toEqual([])
  },
)

test('so many at a time that their memory is bounded, and one for each slot at least', () => {
  const sizes = { slots: 16, capacity: 4_096 }
  expect(maxLogitsRows(65_536, sizes)).toBe(64)
  expect(maxLogitsRows(640, sizes)).toBe(4_096)
  expect(maxLogitsRows(1e7, { ...sizes, slots: 1 })).toBe(1)
  expect(maxLogitsRows(65_536, { ...sizes, slots: 100 })).toBe(100)
})
