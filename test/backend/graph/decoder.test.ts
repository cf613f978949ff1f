import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { convertModel } from '../../../backend/conversion/convert.ts'
import { Decoder, type DecoderOptions } from '../../../backend/graph/decoder.ts'
import { makeTempFolder, removeFolder, tempFolder } from '../../support/temp-folder.ts'
import { maxDifference, TinyLlama } from './tiny-llama.ts'

// Float32 against double precision over three layers; kernels for one row and many also differ.
const tolerance = 2e-5

const model = new TinyLlama()
const prompt = [3, 14, 15, 9, 2, 6, 5, 35, 8, 9, 7, 9, 32, 38, 46, 26]

let folder = ''
beforeAll(async () => {
  folder = makeTempFolder()
  model.write(folder)
  await convertModel(folder, join(folder, 'graph'))
})
afterAll(() => removeFolder(folder))

const load = (options: Partial<DecoderOptions> = {}): Decoder & Disposable => {
  const all = { slots: 4, capacity: 48, intraOpNumThreads: 1, ...options }
  const decoder = new Decoder(join(folder, 'graph'), all)
  return Object.assign(decoder, { [Symbol.dispose]: () => decoder.close() })
}

/** What the textbook says about the last of these tokens. */
const expected = (...tokens: readonly number[]): number[] => model.logits(tokens).at(-1) ?? []

describe('the logits are those of the textbook', () => {
  test('after a prompt in one piece', () => {
    using decoder = load()
    const logits = decoder.prefill(0, 0, prompt)
    expect(maxDifference(logits, expected(...prompt))).toBeLessThan(tolerance)
  })

  test('after each token of a prompt that comes token by token', () => {
    using decoder = load()
    const differences = model
      .logits(prompt)
      .map((logits, i) => maxDifference(decoder.prefill(1, i, prompt.slice(i, i + 1)), logits))
    expect(Math.max(...differences)).toBeLessThan(tolerance)
  })

  test.each([[[7, 9]], [[1, 15]], [[15, 1]], [[5, 5, 5, 1]]])('in chunks of %j', (sizes) => {
    using decoder = load()
    let past = 0
    let logits = new Float32Array()
    for (const size of sizes) {
      logits = Float32Array.from(decoder.prefill(2, past, prompt.slice(past, past + size)))
      past += size
    }
    expect(maxDifference(logits, expected(...prompt))).toBeLessThan(tolerance)
  })

  test('in decode, up to the last position of the slot', () => {
    using decoder = load()
    const tokens = [...prompt]
    decoder.prefill(3, 0, prompt)
    const differences: number[] = []
    while (tokens.length < 48) {
      const next = (tokens.length * 7) % 50
      const logits = decoder.decode(3, [next], [tokens.length])
      tokens.push(next)
      differences.push(maxDifference(logits, expected(...tokens)))
    }
    expect([differences.length, Math.max(...differences) < tolerance]).toEqual([32, true])
  })

  test('with an output head that is the embedding', async () => {
    const tied = new TinyLlama({ tie_word_embeddings: true }, 2)
    const tiedFolder = tempFolder()
    tied.write(tiedFolder)
    await convertModel(tiedFolder, join(tiedFolder, 'graph'))
    const decoder = new Decoder(join(tiedFolder, 'graph'), {
      slots: 1,
      capacity: 32,
      intraOpNumThreads: 2,
    })
    const logits = decoder.prefill(0, 0, prompt)
    decoder.close()
    expect(maxDifference(logits, tied.logits(prompt).at(-1) ?? [])).toBeLessThan(tolerance)
  })
})

test('sequences of different lengths decode together as each would alone', () => {
  using decoder = load({ slots: 5 })
  const sequences = [prompt.slice(0, 5), prompt, prompt.slice(3, 4), prompt.slice(2, 12)]
  for (const [row, tokens] of sequences.entries()) decoder.prefill(row + 1, 0, tokens)
  const logits = decoder.decode(
    1,
    sequences.map((_, row) => row + 10),
    sequences.map((tokens) => tokens.length),
  )
  const differences = sequences.map((tokens, row) =>
    maxDifference(logits.subarray(row * 50, (row + 1) * 50), expected(...tokens, row + 10)),
  )
  expect(Math.max(...differences)).toBeLessThan(tolerance)
})

test('a free slot in the range takes part without disturbing the others', () => {
  using decoder = load()
  decoder.prefill(0, 0, prompt)
  decoder.prefill(2, 0, prompt.slice(4))
  const logits = Float32Array.from(decoder.decode(0, [1, 0, 2], [16, 0, 12]))
  const after = Float32Array.from(decoder.decode(0, [3, 0, 4], [17, 0, 13]))
  const differences = [
    maxDifference(logits.subarray(0, 50), expected(...prompt, 1)),
    maxDifference(logits.subarray(100, 150), expected(...prompt.slice(4), 2)),
    maxDifference(after.subarray(0, 50), expected(...prompt, 1, 3)),
    maxDifference(after.subarray(100, 150), expected(...prompt.slice(4), 2, 4)),
  ]
  expect(Math.max(...differences)).toBeLessThan(tolerance)
})

test('a batch of nothing but new sequences is right too', () => {
  using decoder = load()
  const logits = decoder.decode(0, [5, 6], [0, 0])
  const differences = [
    maxDifference(logits.subarray(0, 50), expected(5)),
    maxDifference(logits.subarray(50, 100), expected(6)),
  ]
  expect(Math.max(...differences)).toBeLessThan(tolerance)
})

test('a slot is used again without a trace of what it held', () => {
  using decoder = load()
  decoder.prefill(0, 0, [...prompt, ...prompt])
  const logits = decoder.prefill(0, 0, prompt.slice(0, 3))
  expect(maxDifference(logits, expected(...prompt.slice(0, 3)))).toBeLessThan(tolerance)
})

test('prefill and decode may take turns over the same slots', () => {
  using decoder = load()
  decoder.prefill(0, 0, prompt)
  decoder.prefill(1, 0, prompt.slice(0, 6))
  decoder.decode(0, [11], [16])
  decoder.prefill(1, 6, prompt.slice(6, 10))
  const logits = decoder.decode(0, [12, 13], [17, 10])
  const differences = [
    maxDifference(logits.subarray(0, 50), expected(...prompt, 11, 12)),
    maxDifference(logits.subarray(50, 100), expected(...prompt.slice(0, 10), 13)),
  ]
  expect(Math.max(...differences)).toBeLessThan(tolerance)
})

test('a copied sequence goes on in its new slot, whole or from its beginning', () => {
  using decoder = load()
  decoder.prefill(3, 0, prompt)
  decoder.copySlot(3, 0, prompt.length)
  decoder.copySlot(3, 1, 5)
  decoder.prefill(3, 0, [1, 1, 1, 1, 1, 1])
  const logits = decoder.decode(0, [20, 21], [prompt.length, 5])
  const differences = [
    maxDifference(logits.subarray(0, 50), expected(...prompt, 20)),
    maxDifference(logits.subarray(50, 100), expected(...prompt.slice(0, 5), 21)),
  ]
  expect(Math.max(...differences)).toBeLessThan(tolerance)
})

test('two sequences of different lengths that change places go on in them', () => {
  using decoder = load()
  const short = prompt.slice(0, 5)
  decoder.prefill(0, 0, prompt)
  decoder.prefill(1, 0, short)
  decoder.swapSlots(1, 0, prompt.length)
  const logits = decoder.decode(0, [20, 21], [short.length, prompt.length])
  const differences = [
    maxDifference(logits.subarray(0, 50), expected(...short, 20)),
    maxDifference(logits.subarray(50, 100), expected(...prompt, 21)),
  ]
  expect(Math.max(...differences)).toBeLessThan(tolerance)
})

test('more forms of a step than are kept bound still compute the same', () => {
  using decoder = load({ slots: 12 })
  const differences: number[] = []
  for (let round = 0; round < 2; round++) {
    for (let slot = 0; slot < 12; slot++) {
      for (let length = 1; length <= 10; length++) {
        const logits = decoder.prefill(slot, 0, prompt.slice(0, length))
        if (slot === 11 || length === 10) {
          differences.push(maxDifference(logits, expected(...prompt.slice(0, length))))
        }
      }
    }
  }
  expect(Math.max(...differences)).toBeLessThan(tolerance)
})

describe('arguments out of range are refused before anything runs', () => {
  let decoder: Decoder
  beforeAll(() => {
    decoder = load()
  })
  afterAll(() => decoder.close())

  test.each<[string, (decoder: Decoder) => unknown, string]>([
    ['a slot too high', (d) => d.prefill(4, 0, [1]), 'no slot 4 with 1 in a row: 4 exist'],
    ['a negative slot', (d) => d.prefill(-1, 0, [1]), 'no slot -1'],
    ['half a slot', (d) => d.prefill(0.5, 0, [1]), 'no slot 0.5'],
    ['no tokens', (d) => d.prefill(0, 0, []), 'number of tokens must be a whole number from 1'],
    ['a prompt too long', (d) => d.prefill(0, 0, Array(49).fill(1)), 'from 1 to 48, not 49'],
    ['more logits than tokens', (d) => d.prefill(0, 0, [1, 2], 3), 'from 1 to 2, not 3'],
    ['no logits', (d) => d.prefill(0, 0, [1, 2], 0), 'the number of logits must be'],
    ['a past too long', (d) => d.prefill(0, 47, [1, 1]), 'length 47 and 2 new tokens do not fit'],
    ['a negative past', (d) => d.prefill(0, -1, [1]), 'length -1'],
    ['a past that is no number', (d) => d.prefill(0, Number.NaN, [1]), 'length NaN'],
    ['a token too high', (d) => d.prefill(0, 0, [1, 50]), 'token 50 is not one of the model'],
    ['a negative token', (d) => d.decode(0, [-1], [0]), 'token -1 is not one'],
    ['half a token', (d) => d.decode(0, [0.5], [0]), 'token 0.5 is not one'],
    ['a range beyond the end', (d) => d.decode(2, [1, 1, 1], [0, 0, 0]), 'slot 2 with 3 in a row'],
    ['an empty range', (d) => d.decode(0, [], []), 'slot 0 with 0 in a row'],
    ['lengths missing', (d) => d.decode(0, [1, 1], [0]), '2 tokens and 1 lengths'],
    ['a full slot', (d) => d.decode(0, [1], [48]), 'length 48 and 1 new tokens do not fit'],
    ['a copy from nowhere', (d) => d.copySlot(4, 0, 1), 'no slot 4'],
    ['a copy to nowhere', (d) => d.copySlot(0, -1, 1), 'no slot -1'],
    ['a copy too long', (d) => d.copySlot(0, 1, 49), 'length 49'],
    ['a swap with nowhere', (d) => d.swapSlots(0, 4, 1), 'no slot 4'],
    ['a swap too long', (d) => d.swapSlots(0, 1, 49), 'length 49'],
  ])('%s', (_name, call, message) => {
    expect(() => call(decoder)).toThrow(RangeError)
    expect(() => call(decoder)).toThrow(message)
  })

  test.each([
    [{ slots: 0 }, 'slots must be a whole number'],
    [{ capacity: 65 }, 'capacity must be a whole number from 1 to 64, not 65'],
    [{ intraOpNumThreads: 0 }, 'intraOpNumThreads must be'],
  ])('options %j', (options, message) => {
    expect(() => load(options)).toThrow(message)
  })
})

test('a closed decoder says so, and may be closed again', () => {
  const decoder = load()
  decoder.prefill(0, 0, prompt)
  decoder.close()
  decoder.close()
  const calls = [
    () => decoder.prefill(0, 0, prompt),
    () => decoder.decode(0, [1], [0]),
    () => decoder.copySlot(0, 1, 1),
    () => decoder.swapSlots(0, 1, 1),
  ]
  for (const call of calls) expect(call).toThrow('this decoder is closed')
})

test('a folder without a converted model is refused by its path', () => {
  expect(() => new Decoder('/nowhere', { slots: 1, capacity: 1, intraOpNumThreads: 1 })).toThrow(
    /cannot use .*manifest\.json: ENOENT/,
  )
})
