/** Every rank moves its own part of the cache when a sequence changes its slot. */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { convertModel } from '../../../backend/conversion/convert.ts'
import { openDecoder, type ShardedDecoder } from '../../../backend/sharding/sharded-decoder.ts'
import type { Decoder } from '../../../backend/graph/decoder.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { tokens, writeCheckpoint } from '../graph/architecture-cases.ts'
import { maxDifference } from '../graph/tiny-llama.ts'

const prompt = tokens.slice(0, 20)
const [next = 0] = tokens.slice(20)

/** Logits of `next` after the prompt that was computed in slot 0 and is in `slot` by now. */
const goesOn = (decoder: Decoder | ShardedDecoder, slot: number): Float32Array =>
  Float32Array.from(decoder.decode(slot, [next], [prompt.length]))

test('a copied and a swapped sequence go on as the one that stayed', async () => {
  const folder = tempFolder()
  writeCheckpoint(folder, 'llama with biases')
  const parallel = { tensorParallelSize: 2, pipelineParallelSize: 2 }
  await convertModel(folder, join(folder, 'sharded'), { parallel })
  const options = { slots: 3, capacity: 32, intraOpNumThreads: 1 }
  const decoder = openDecoder(join(folder, 'sharded'), options)
  decoder.prefill(0, 0, prompt)
  decoder.prefill(2, 0, prompt.toReversed())
  const stayed = goesOn(decoder, 0)
  const reversed = goesOn(decoder, 2)

  decoder.copySlot(0, 1, prompt.length)
  expect(maxDifference(goesOn(decoder, 1), stayed)).toBe(0)
  decoder.swapSlots(1, 2, prompt.length)
  expect(maxDifference(goesOn(decoder, 2), stayed)).toBe(0)
  expect(maxDifference(goesOn(decoder, 1), reversed)).toBe(0)
  expect(maxDifference(stayed, reversed)).toBeGreaterThan(0.1)
  decoder.close()
})
