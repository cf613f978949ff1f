/** Tries settings of the peer against each other: which are worth having in the comparison (compare.ts). */
import { briefFigures } from '../figures.ts'
import { randomLlama, shape135M } from '../models/random-llama.ts'
import type { BenchOptions } from '../options.ts'
import { compareToFirst, measureInRounds } from '../rounds.ts'
import { printTable } from '../statistics.ts'
import { installPeer, peerVersion } from './node-llama-cpp.ts'
import { measurePeer, type PeerTuning } from './peer.ts'

/** By what a person would try first. A process of each takes about 8 s, and so a round a minute. */
const tunings: Readonly<Record<string, PeerTuning>> = Object.fromEntries(
  [
    [2, 512],
    [2, 128],
    [1, 512],
  ].flatMap(([threads = 1, batchSize = 1]) =>
    [false, true].map((flashAttention): [string, PeerTuning] => {
      const attention = flashAttention ? 'flash' : 'no flash'
      const name = `${threads} ${threads === 1 ? 'thread' : 'threads'}, batch ${batchSize}, ${attention}`
      return [name, { flashAttention, batchSize, threads, useMmap: true }]
    }),
  ),
)

export const tunePeer = async ({ embedding, rounds }: BenchOptions): Promise<void> => {
  installPeer()
  const model = randomLlama(shape135M, embedding)
  const names = Object.keys(tunings)
  const systems = Object.entries(tunings).map(([name, tuning]) => [
    name,
    measurePeer(model, tuning),
  ])
  const results = await measureInRounds(rounds, Object.fromEntries(systems), ['brief'])
  console.log(
    `## Settings of node-llama-cpp ${peerVersion}\n\nQ4_0 with ${embedding} embedding and head, ` +
      `median of ${rounds} rounds (better than the first by)\n`,
  )
  printTable(['', ...names], compareToFirst(results, names, briefFigures))
}
