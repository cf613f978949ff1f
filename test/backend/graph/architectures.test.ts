import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { RopeScalingType } from '../../../backend/checkpoint/rope-scaling.ts'
import { convertModel } from '../../../backend/conversion/convert.ts'
import { Decoder } from '../../../backend/graph/decoder.ts'
import { makeTempFolder, removeFolder, tempFolder } from '../../support/temp-folder.ts'
import {
  goldenRows,
  modelNames,
  promptLength,
  tokens,
  vocabSize,
  writeCheckpoint,
} from './architecture-cases.ts'
import { maxDifference } from './tiny-llama.ts'

/** Float32 on both sides; the largest difference measured is 5e-6. */
const tolerance = 1e-4

const options = { slots: 3, capacity: tokens.length, intraOpNumThreads: 1 }

/** The goldens after these lengths against the rows of one step's logits. */
const largestDifference = (
  logits: Float32Array,
  golden: readonly Float32Array[],
  lengths: readonly number[],
): number =>
  Math.max(
    ...lengths.map((length, row) => {
      const mine = logits.subarray(row * vocabSize, (row + 1) * vocabSize)
      return maxDifference(mine, golden[length - 1] ?? [])
    }),
  )

describe.each(modelNames)('%s computes as transformers does', (name) => {
  let folder = ''
  let golden: Float32Array[]
  let decoder: Decoder

  beforeAll(async () => {
    folder = makeTempFolder()
    writeCheckpoint(folder, name)
    await convertModel(folder, join(folder, 'graph'))
    golden = await goldenRows(`logits.${name}`, vocabSize)
    decoder = new Decoder(join(folder, 'graph'), options)
  })
  afterAll(() => {
    decoder.close()
    removeFolder(folder)
  })

  test('after a prompt of every length, and in 16 steps of decode', () => {
    const differences: number[] = []
    for (let length = 1; length <= promptLength; length++) {
      const logits = decoder.prefill(0, 0, tokens.slice(0, length))
      differences.push(largestDifference(logits, golden, [length]))
    }
    for (let past = promptLength; past < tokens.length; past++) {
      const logits = decoder.decode(0, tokens.slice(past, past + 1), [past])
      differences.push(largestDifference(logits, golden, [past + 1]))
    }
    expect([differences.length, Math.max(...differences) < tolerance]).toEqual([64, true])
  })

  test.each([[[16, 16, 16]], [[1, 30, 17]], [[47, 1]]])('in chunks of %j', (sizes) => {
    let past = 0
    const differences = sizes.map((size) => {
      const logits = decoder.prefill(1, past, tokens.slice(past, past + size))
      past += size
      return largestDifference(logits, golden, [past])
    })
    expect([past, Math.max(...differences) < tolerance]).toEqual([promptLength, true])
  })

  test('in a batch of sequences of different lengths', () => {
    const lengths = [40, 3, 21]
    for (const [slot, length] of lengths.entries()) {
      decoder.prefill(slot, 0, tokens.slice(0, length))
    }
    const differences = Array.from({ length: 16 }, (_, step) => {
      const past = lengths.map((length) => length + step)
      const next = past.map((length) => tokens[length] ?? -1)
      const logits = decoder.decode(0, next, past)
      return largestDifference(
        logits,
        golden,
        past.map((length) => length + 1),
      )
    })
    expect(Math.max(...differences)).toBeLessThan(tolerance)
  })
})

test('no two of these models compute alike', async () => {
  const last = await Promise.all(
    modelNames.map(async (name) => (await goldenRows(`logits.${name}`, vocabSize)).at(-1) ?? []),
  )
  const smallest = last.flatMap((a, i) => last.slice(i + 1).map((b) => maxDifference(a, b)))
  expect(Math.min(...smallest)).toBeGreaterThan(100 * tolerance)
})

test.each<RopeScalingType>(['linear', 'dynamic', 'yarn', 'llama3'])(
  '%s scaling asked for at conversion is that of a config that has it',
  async (type) => {
    const folder = tempFolder()
    const name = `${type} scaling`
    writeCheckpoint(folder, name, { rope_scaling: null })
    const out = join(folder, 'graph')
    const plain = await convertModel(folder, out)
    const scaled = await convertModel(folder, out, { ropeOverride: { type, factor: 4 } })
    const decoder = new Decoder(out, options)
    const logits = decoder.prefill(0, 0, tokens)
    const golden = await goldenRows(`logits.${name}`, vocabSize)
    const difference = largestDifference(logits, golden, [tokens.length])
    decoder.close()
    expect([plain.maxPositions, scaled.maxPositions, difference < tolerance]).toEqual([
      16,
      64,
      true,
    ])
  },
)
