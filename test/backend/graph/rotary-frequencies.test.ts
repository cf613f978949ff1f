import { expect, test } from 'vitest'
import { parseConfig } from '../../../backend/checkpoint/config.ts'
import { rotaryFrequencies } from '../../../backend/graph/rotary-frequencies.ts'
import { configText, frequencyNames, goldenRows } from './architecture-cases.ts'

/** PyTorch's float32 power is not always rounded to the nearest: a few units in the last place. */
const tolerance = 4e-7

test.each(frequencyNames)(
  '%s: the frequencies of a large model are those of transformers',
  async (name) => {
    const config = parseConfig('config.json', configText('frequencies', name))
    const { frequencies, amplitude } = rotaryFrequencies(config)
    const [expected = []] = await goldenRows(`frequencies.${name}`, config.headDim / 2)
    const [expectedAmplitude = []] = await goldenRows(`amplitude.${name}`, 1)
    const ratios = Array.from(expected, (value, i) => Math.abs((frequencies[i] ?? 0) / value - 1))
    expect([ratios.length, Math.max(...ratios) < tolerance]).toEqual([config.headDim / 2, true])
    expect(expectedAmplitude).toEqual(Float32Array.of(amplitude))
  },
)
