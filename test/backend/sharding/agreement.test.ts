import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bundledModelFolder } from '../../../backend/config.ts'
import { convertModel } from '../../../backend/conversion/convert.ts'
import type { ParallelSizes } from '../../../backend/graph/shard-plan.ts'
import { openDecoder } from '../../../backend/sharding/sharded-decoder.ts'
import { makeTempFolder, removeFolder } from '../../support/temp-folder.ts'
import {
  agreement,
  agreementOptions,
  agreementPrompts,
  combinations,
  record,
  type Recording,
} from './agreement.ts'

const tolerance = 1e-4

/**
 * On two cores each rank takes a tenth of a second to start: here the largest combinations are left to
 * test/bench/engine/sharding.ts, which runs all of them on 20 prompts.
 */
const largest = 8

/** Prompts, enough for micro-batches, and steps of decode: all steps for two ranks, fewer where many threads share the cores. */
const extentOf = ({ tensorParallelSize: T, pipelineParallelSize: P }: ParallelSizes) =>
  T * P === 2 ? { numPrompts: 17, numSteps: 200 } : { numPrompts: 16, numSteps: 16 }

const folder = makeTempFolder()
const prompts = agreementPrompts()
/** What the whole model computes, by the number of prompts. */
const expected = new Map<number, Recording>()

beforeAll(async () => {
  await convertModel(bundledModelFolder, join(folder, 'whole'))
  const decoder = openDecoder(join(folder, 'whole'), agreementOptions)
  expected.set(17, record(decoder, prompts.slice(0, 17), 200))
  expected.set(16, record(decoder, prompts.slice(0, 16), 16))
  decoder.close()
})
afterAll(() => removeFolder(folder))

const sharded = combinations.filter(
  ({ tensorParallelSize: T, pipelineParallelSize: P }) => T * P > 1 && T * P <= largest,
)

test.each(sharded)(
  'tensor parallel $tensorParallelSize × pipeline parallel $pipelineParallelSize computes as one rank does',
  async (parallel) => {
    const { numPrompts, numSteps } = extentOf(parallel)
    const reference = expected.get(numPrompts) ?? { prefill: [], decode: [] }
    const { tensorParallelSize: T, pipelineParallelSize: P } = parallel
    const out = join(folder, `${T}-${P}`)
    await convertModel(bundledModelFolder, out, { parallel })
    const decoder = openDecoder(out, agreementOptions)
    const actual = record(decoder, prompts.slice(0, numPrompts), numSteps, reference)
    decoder.close()
    const found = agreement(reference, actual, numPrompts)
    expect({
      isNear: found.maxDifference <= tolerance,
      hasAllTokens: found.numTokens > numPrompts * numSteps,
      wrongTokens: found.wrongTokens,
      areTiesFew: found.nearTies <= found.numTokens / 100,
    }).toEqual({ isNear: true, hasAllTokens: true, wrongTokens: 0, areTiesFew: true })
  },
)
