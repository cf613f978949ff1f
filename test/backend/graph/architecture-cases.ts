/** The fixtures of test/fixtures/architectures: configs, and what transformers computed for them. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseConfig } from '../../../backend/checkpoint/config.ts'
import { SafetensorsFile } from '../../../backend/checkpoint/safetensors-file.ts'
import { writeFloat32Tensors } from '../checkpoint/write-safetensors.ts'
import { randomWeights } from './random-weights.ts'

const fixtures = fileURLToPath(new URL('../../fixtures/architectures', import.meta.url))

type Cases = Readonly<Record<'models' | 'frequencies', Readonly<Record<string, object>>>> & {
  readonly base: { readonly vocab_size: number }
}

const cases: Cases = JSON.parse(readFileSync(join(fixtures, 'cases.json'), 'utf8'))

export const { vocab_size: vocabSize } = cases.base
export const modelNames = Object.keys(cases.models)
export const frequencyNames = Object.keys(cases.frequencies)

/** What every model is run on: a prompt of 48, then 16 steps of decode. */
export const tokens = Array.from({ length: 64 }, (_, i) => (7 * i * i + 3 * i + 5) % vocabSize)
export const promptLength = 48

/** config.json of a case; fields of `changes` that are undefined are left out. */
export const configText = (
  kind: 'models' | 'frequencies',
  name: string,
  changes: object = {},
): string => JSON.stringify({ ...cases.base, ...cases[kind][name], ...changes })

/** Writes config.json and model.safetensors of a case. */
export const writeCheckpoint = (folder: string, name: string, changes: object = {}): void => {
  const text = configText('models', name, changes)
  writeFileSync(join(folder, 'config.json'), text)
  const weights = randomWeights(parseConfig('config.json', text))
  writeFloat32Tensors(join(folder, 'model.safetensors'), weights)
}

/** A tensor of the goldens, as rows. */
export const goldenRows = async (name: string, rowLength: number): Promise<Float32Array[]> => {
  const file = await SafetensorsFile.open(join(fixtures, 'golden.safetensors'))
  try {
    const values: number[] = []
    for await (const piece of file.readFloat32(name)) values.push(...piece)
    return Array.from({ length: values.length / rowLength }, (_, row) =>
      Float32Array.from(values.slice(row * rowLength, (row + 1) * rowLength)),
    )
  } finally {
    await file.close()
  }
}
