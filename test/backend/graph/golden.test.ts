import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SafetensorsFile } from '../../../backend/checkpoint/safetensors-file.ts'
import { convertModel } from '../../../backend/conversion/convert.ts'
import { Decoder } from '../../../backend/graph/decoder.ts'
import { makeTempFolder, removeFolder } from '../../support/temp-folder.ts'
import { maxDifference } from './tiny-llama.ts'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const fixtures = `${root}/test/fixtures/bundled-model`

/** What transformers computed with the same weights in float32. */
const tolerance = 1e-3

type GoldenPrompt = { readonly prompt_ids: number[]; readonly decode_ids: number[] }

const prompts: GoldenPrompt[] = JSON.parse(readFileSync(`${fixtures}/golden.json`, 'utf8'))
const folder = makeTempFolder()
let golden: SafetensorsFile
let decoder: Decoder

beforeAll(async () => {
  const manifest = await convertModel(`${root}/backend/bundled-model`, `${folder}/graph`)
  golden = await SafetensorsFile.open(`${fixtures}/golden.safetensors`)
  decoder = new Decoder(`${folder}/graph`, {
    slots: prompts.length,
    capacity: manifest.maxPositions,
    intraOpNumThreads: 2,
  })
})
afterAll(async () => {
  decoder.close()
  await golden.close()
  removeFolder(folder)
})

/** A golden tensor [rows, vocabSize], row by row. */
const rows = async (name: string): Promise<Float32Array[]> => {
  const { vocabSize } = decoder.manifest
  const values: number[] = []
  for await (const piece of golden.readFloat32(name)) values.push(...piece)
  return Array.from({ length: values.length / vocabSize }, (_, row) =>
    Float32Array.from(values.slice(row * vocabSize, (row + 1) * vocabSize)),
  )
}

describe.each(prompts.map((prompt, index) => ({ index, ...prompt })))(
  'prompt $index of the bundled model',
  ({ index, prompt_ids: prompt, decode_ids: generated }) => {
    test('agrees with transformers at every position of the prompt', async () => {
      const expected = await rows(`${index}.prefill_logits`)
      const differences = expected.map((logits, past) =>
        maxDifference(decoder.prefill(index, past, prompt.slice(past, past + 1)), logits),
      )
      expect([expected.length, Math.max(...differences) < tolerance]).toEqual([prompt.length, true])
    })

    test('agrees with transformers after the prompt in one piece and in 64 steps of decode', async () => {
      // Row i is what token i of the generation was chosen from.
      const [afterPrompt, ...expected] = await rows(`${index}.decode_logits`)
      const first = maxDifference(decoder.prefill(index, 0, prompt), afterPrompt ?? [])
      const steps = expected.map((logits, i) => {
        const token = generated[i] ?? -1
        return maxDifference(decoder.decode(index, [token], [prompt.length + i]), logits)
      })
      expect([steps.length, Math.max(first, ...steps) < tolerance]).toEqual([63, true])
    })
  },
)

test('all prompts together, each at its own length, agree with transformers too', async () => {
  const expected = await Promise.all(prompts.map((_, index) => rows(`${index}.decode_logits`)))
  for (const [slot, prompt] of prompts.entries()) decoder.prefill(slot, 0, prompt.prompt_ids)
  const { vocabSize } = decoder.manifest
  const differences: number[] = []
  for (let step = 0; step < 63; step++) {
    const logits = decoder.decode(
      0,
      prompts.map((prompt) => prompt.decode_ids[step] ?? -1),
      prompts.map((prompt) => prompt.prompt_ids.length + step),
    )
    for (const [row, all] of expected.entries()) {
      const mine = logits.subarray(row * vocabSize, (row + 1) * vocabSize)
      differences.push(maxDifference(mine, all[step + 1] ?? []))
    }
  }
  expect([differences.length, Math.max(...differences) < tolerance]).toEqual([63 * 4, true])
})
