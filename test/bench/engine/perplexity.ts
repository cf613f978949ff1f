/**
 * Perplexity of a model over English prose (chapters of Moby-Dick) in several formats of weights and KV cache, and how
 * far each is from the first one. Windows of the text are the rows of a batch, each fed token by token, so that every step has the
 * logits that a decoding server would have. Default: SmolLM2-135M-Instruct.
 *
 *   node test/bench/engine/perplexity.ts [--model FOLDER|FILE.gguf] [--format float32,float32+int8-cache,…]
 *     [--text FILE] [--windows 16] [--window 256]
 */
import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { parseArgs } from 'node:util'
import { Decoder } from '../../../backend/graph/decoder.ts'
import { loadTextFormat } from '../../../backend/tokenizer/load-tokenizer.ts'
import { convertedModel } from './models/converted-model.ts'
import { proseChapter } from './models/prose.ts'
import { smolLm2 } from './models/smollm2.ts'
import { mean, standardError } from './statistics.ts'

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    format: { type: 'string', default: 'float32,float32+int8-cache,int8,int4,int4+int4-embedding' },
    text: { type: 'string' },
    windows: { type: 'string', default: '16' },
    window: { type: 'string', default: '256' },
  },
})
const model = values.model ?? smolLm2()
const [numWindows, windowLength] = [Number(values.windows), Number(values.window)]

const readText = (): string =>
  values.text === undefined
    ? [1, 2, 3, 4, 5, 6, 7, 8].map(proseChapter).join('\n\n')
    : readFileSync(values.text, 'utf8')

/** The text's beginning: as many windows as are wanted, one after the other. */
const readWindows = async (): Promise<number[][]> => {
  const { tokenizer } = await loadTextFormat(model)
  const tokens = tokenizer.encode(readText(), false)
  if (tokens.length < numWindows * windowLength) {
    throw new Error(`the text has ${tokens.length} tokens, not ${numWindows} x ${windowLength}`)
  }
  return Array.from({ length: numWindows }, (_, row) =>
    tokens.slice(row * windowLength, (row + 1) * windowLength),
  )
}

/** −ln p of `token`. */
const surprise = (logits: Float32Array, token: number): number => {
  let largest = -Infinity
  for (const logit of logits) if (logit > largest) largest = logit
  let sum = 0
  for (const logit of logits) sum += Math.exp(logit - largest)
  return Math.log(sum) + largest - (logits[token] ?? -Infinity)
}

/** Of each token of each window but the first ones, window by window. */
const surprises = (decoder: Decoder, windows: readonly (readonly number[])[]): number[] => {
  const { vocabSize } = decoder.manifest
  const found = windows.map((): number[] => [])
  for (let position = 0; position + 1 < windowLength; position++) {
    const tokens = windows.map((window) => window[position] ?? 0)
    const lengths = windows.map(() => position)
    const logits = decoder.decode(0, tokens, lengths)
    for (const [row, window] of windows.entries()) {
      const ofRow = logits.subarray(row * vocabSize, (row + 1) * vocabSize)
      found[row]?.push(surprise(ofRow, window[position + 1] ?? 0))
    }
  }
  return found.flat()
}

const windows = await readWindows()
let first: readonly number[] | undefined
console.log(`${basename(model)}: ${numWindows} windows of ${windowLength} tokens\n`)
// Row by row: a format takes its time.
console.log('| format | perplexity | above the first |\n|---|---|---|')
for (const name of values.format.split(',')) {
  const { folder, cacheDtype } = await convertedModel(model, name)
  const sizes = { slots: numWindows, capacity: windowLength, intraOpNumThreads: 2 }
  const decoder = new Decoder(folder, { ...sizes, cacheDtype })
  const found = surprises(decoder, windows)
  decoder.close()
  first ??= found
  // Token by token: the difference is far better known than either perplexity.
  const differences = found.map((value, i) => value - (first?.[i] ?? Number.NaN))
  const ratio = 100 * (Math.exp(mean(differences)) - 1)
  const error = 100 * standardError(differences)
  const perplexity = Math.exp(mean(found)).toFixed(3)
  console.log(`| ${name} | ${perplexity} | ${ratio.toFixed(2)} ± ${error.toFixed(2)} % |`)
}
