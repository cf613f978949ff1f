import { join } from 'node:path'
import { expect, test } from 'vitest'
import { convertModel } from '../../../backend/conversion/convert.ts'
import { openDecoder } from '../../../backend/sharding/sharded-decoder.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { promptLength, tokens, writeCheckpoint } from '../graph/architecture-cases.ts'
import { maxDifference } from '../graph/tiny-llama.ts'

const options = { slots: 2, capacity: tokens.length, intraOpNumThreads: 1 }

/** Logits after a prompt in two chunks and after each token of the rest. */
const compute = (folder: string): Float32Array[] => {
  const decoder = openDecoder(folder, options)
  const first = Float32Array.from(decoder.prefill(1, 0, tokens.slice(0, 17)))
  const second = Float32Array.from(decoder.prefill(1, 17, tokens.slice(17, promptLength)))
  const steps = tokens
    .slice(promptLength)
    .map((token, i) => Float32Array.from(decoder.decode(1, [token], [promptLength + i])))
  decoder.close()
  return [first, second, ...steps]
}

test.each([
  ['llama with biases', 2, 2],
  ['mistral with a window', 2, 2],
  ['qwen2 with a window in its upper layer', 2, 2],
  ['qwen3 with biases and a window in its lower layer', 2, 2],
  ['qwen3', 4, 1],
  ['llama with biases', 4, 1],
])('%s computes the same in %i × %i ranks', async (name, T, P) => {
  const folder = tempFolder()
  writeCheckpoint(folder, name)
  await convertModel(folder, join(folder, 'whole'))
  const parallel = { tensorParallelSize: T, pipelineParallelSize: P }
  await convertModel(folder, join(folder, 'sharded'), { parallel })
  const whole = compute(join(folder, 'whole'))
  const sharded = compute(join(folder, 'sharded'))
  const differences = whole.map((logits, i) => maxDifference(logits, sharded[i] ?? []))
  expect([differences.length, Math.max(...differences) < 1e-4]).toEqual([18, true])
})
