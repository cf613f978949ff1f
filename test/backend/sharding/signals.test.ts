/** Counters begin a little before they wrap around: what a test does more often goes over it. */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { convertModel } from '../../../backend/conversion/convert.ts'
import { openDecoder } from '../../../backend/sharding/sharded-decoder.ts'
import { firstCount, signalMemory, Signals } from '../../../backend/sharding/signals.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { TinyLlama } from '../graph/tiny-llama.ts'

const largest = 2 ** 31 - 1

test('commands, their completion and micro-batches are counted on over the wrap', () => {
  const signals = new Signals(signalMemory(2, 2), 2, 0)
  signals.complete(0)
  signals.complete(1)
  const numbers: number[] = []
  let number = firstCount
  let numMicroBatches = firstCount
  for (let i = 0; i < 300; i++) {
    signals.waitForCompleted(0, number)
    signals.waitForCompleted(1, number)
    number = (number + 1) | 0
    signals.give()
    expect(signals.command).toBe(number)
    signals.waitForCommand(number)
    numMicroBatches = (numMicroBatches + 1) | 0
    signals.finishMicroBatch(0)
    signals.waitForMicroBatches(0, numMicroBatches)
    signals.complete(0)
    expect([signals.hasCompleted(0, number), signals.hasCompleted(1, number)]).toEqual([
      true,
      false,
    ])
    signals.complete(1)
    numbers.push(number)
  }
  expect([numbers.includes(largest), numbers.includes(-largest - 1)]).toEqual([true, true])
})

test.each([
  [2, 1],
  [2, 2],
])('ranks (T=%i, P=%i) compute the same before and after the wrap', async (tensor, pipeline) => {
  const folder = tempFolder()
  new TinyLlama().write(folder)
  const parallel = { tensorParallelSize: tensor, pipelineParallelSize: pipeline }
  await convertModel(folder, join(folder, 'graph'), { parallel })
  const options = { slots: 2, capacity: 32, intraOpNumThreads: 1 }
  const decoder = openDecoder(join(folder, 'graph'), options)
  try {
    const step = (): Float32Array => Float32Array.from(decoder.decode(0, [5, 6], [0, 0]))
    const expected = step()
    for (let i = 0; i < 200; i++) expect(step()).toEqual(expected)
  } finally {
    decoder.close()
  }
})
