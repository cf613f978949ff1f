/** Burrow against node-llama-cpp: same model, same workload. */
import { rmSync } from 'node:fs'
import { figures } from '../figures.ts'
import { startBurrow } from '../burrow.ts'
import { conversionFolder, convertedModel } from '../models/converted-model.ts'
import { randomLlama, shape135M } from '../models/random-llama.ts'
import type { BenchOptions } from '../options.ts'
import { measureInRounds, type Results } from '../rounds.ts'
import { median, printTable } from '../statistics.ts'
import { installPeer, peerVersion } from './node-llama-cpp.ts'
import { startPeerProcess, type PeerTuning } from './peer.ts'

const burrow = 'Burrow'

/**
 * Of these each figure takes the better. By tune.ts, fewer threads than cores are better at nothing, flash attention is better
 * for prompts, and other differences are within the noise: so each kind of attention comes with another batch size.
 */
const peers = (threads: number): Readonly<Record<string, PeerTuning>> => {
  const both = { threads, useMmap: true, hugePages: true }
  return {
    'flash attention, batch 512': { ...both, flashAttention: true, batchSize: 512 },
    'no flash attention, batch 128': { ...both, flashAttention: false, batchSize: 128 },
  }
}

/** A row for each figure: Burrow, the peer with the setting against which Burrow comes out worse, ratios. */
const compareToBest = (results: Results, names: readonly string[]): string[][] =>
  figures.map((figure) => {
    const { isBetter, digits } = figure
    const [best] = names
      .map((name) => ({ name, ratios: results.betterBy(figure, burrow, name) }))
      .toSorted((a, b) => a.ratios.median - b.ratios.median)
    const show = (system: string): string => {
      const values = results.of(system, figure)
      const best = isBetter === 'higher' ? Math.max(...values) : Math.min(...values)
      return `${median(values).toFixed(digits)} (${best.toFixed(digits)})`
    }
    if (best === undefined) return [figure.name, show(burrow)]
    const [middle, least, most] = [best.ratios.median, best.ratios.least, best.ratios.most].map(
      (ratio) => ratio.toFixed(2),
    )
    return [figure.name, show(burrow), show(best.name), best.name, `${middle}x (${least}–${most})`]
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
    [burrow]: startBurrow(model, { format, threads }),
    ...Object.fromEntries(
      Object.entries(tunings).map(([name, tuning]) => [name, startPeerProcess(model, tuning)]),
    ),
  })
  const { vocabSize, numLayers, hiddenSize } = shape135M
  console.log(
    `## Burrow against node-llama-cpp ${peerVersion}\n\nBurrow ${format} against Q4_0 with ${embedding} embedding and ` +
      `head: ${numLayers} layers, hidden ${hiddenSize}, vocabulary ${vocabSize}; ${threads} threads each, temperature 0.8, ` +
      `top-k 40, top-p 0.95; ${rounds} rounds. Burrow's first start converts for ${conversion} s more.\n`,
  )
  const columns = ['median (best)', burrow, 'node-llama-cpp', 'its better setting']
  const ratios = 'Burrow is better by, median of all turns (least–most)'
  const rows = compareToBest(results, Object.keys(tunings))
  printTable([...columns, ratios], rows)
}
