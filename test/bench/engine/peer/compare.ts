/** Burrow against node-llama-cpp: same model, same workload. */
import { rmSync } from 'node:fs'
import { figures } from '../figures.ts'
import { measureBurrow } from '../burrow.ts'
import { conversionFolder, convertedModel } from '../models/converted-model.ts'
import { randomLlama, shape135M } from '../models/random-llama.ts'
import type { BenchOptions } from '../options.ts'
import { betterBy, measureInRounds, type Results } from '../rounds.ts'
import { median, printTable } from '../statistics.ts'
import { installPeer, peerVersion } from './node-llama-cpp.ts'
import { measurePeer, type PeerTuning } from './peer.ts'

const burrow = 'Burrow'

/**
 * Of these each figure takes the better: neither is better at all of them. By tune.ts, fewer threads than cores are slower at
 * everything; with flash attention prompts go faster, and batch 128 is as good as 512; without it 128 is better.
 */
const peers = (threads: number): Readonly<Record<string, PeerTuning>> => {
  const both = { threads, useMmap: true, hugePages: true }
  return {
    'flash attention, batch 512': { ...both, flashAttention: true, batchSize: 512 },
    'no flash attention, batch 128': { ...both, flashAttention: false, batchSize: 128 },
  }
}

/** A row for each figure: Burrow, the peer with whichever setting has the better median, ratios. */
const compareToBest = (results: Results, names: readonly string[]): string[][] =>
  figures.map((figure) => {
    const { isBetter, digits } = figure
    const sign = isBetter === 'higher' ? -1 : 1
    const [theirs] = names
      .map((name) => ({ name, values: results.of(name, figure) }))
      .toSorted((a, b) => sign * (median(a.values) - median(b.values)))
    const best = (values: readonly number[]): number =>
      isBetter === 'higher' ? Math.max(...values) : Math.min(...values)
    const show = (values: readonly number[]): string =>
      `${median(values).toFixed(digits)} (${best(values).toFixed(digits)})`
    const ours = results.of(burrow, figure)
    const { name = '', values = [] } = theirs ?? {}
    return [
      figure.name,
      show(ours),
      show(values),
      name,
      betterBy(figure, median(ours), median(values)),
      betterBy(figure, best(ours), best(values)),
    ]
  })

export const comparePeer = async (options: BenchOptions): Promise<void> => {
  const { format, embedding, rounds, threads } = options
  installPeer()
  const model = randomLlama(shape135M, embedding)
  // Anew, to say what the first start costs.
  rmSync(conversionFolder(model, format), { recursive: true, force: true })
  const startedAt = performance.now()
  await convertedModel(model, format)
  const conversion = ((performance.now() - startedAt) / 1000).toFixed(1)
  const tunings = peers(threads)
  const results = await measureInRounds(rounds, {
    [burrow]: measureBurrow(model, { format, threads }),
    ...Object.fromEntries(
      Object.entries(tunings).map(([name, tuning]) => [name, measurePeer(model, tuning)]),
    ),
  })
  const { vocabSize, numLayers, hiddenSize } = shape135M
  console.log(
    `## Burrow against node-llama-cpp ${peerVersion}\n\nBurrow ${format} against Q4_0 with ${embedding} embedding and ` +
      `head: ${numLayers} layers, hidden ${hiddenSize}, vocabulary ${vocabSize}; ${threads} threads each, temperature 0.8, ` +
      `top-k 40, top-p 0.95; ${rounds} interleaved rounds. Burrow's first start converts for ${conversion} s more.\n`,
  )
  const columns = ['median (best)', burrow, 'node-llama-cpp', 'its better setting']
  const rows = compareToBest(results, Object.keys(tunings))
  printTable([...columns, 'Burrow is better by', 'by best'], rows)
}
