/** Tries settings of the peer against each other: which are worth having in the comparison (compare.ts). */
import { figuresOfOne } from '../figures.ts'
import { randomLlama, shape135M } from '../models/random-llama.ts'
import type { BenchOptions } from '../options.ts'
import { compareToFirst, measureInRounds } from '../rounds.ts'
import { printTable } from '../statistics.ts'
import { installPeer, peerVersion } from './node-llama-cpp.ts'
import { startPeerProcess, type PeerTuning } from './peer.ts'

const ground: PeerTuning = {
  flashAttention: true,
  batchSize: 512,
  threads: 2,
  useMmap: true,
  hugePages: true,
}

/** More would take longer than anybody waits. */
const maxRounds = 2

/** What a person would try first, for two cores. */
const tunings: Readonly<Record<string, PeerTuning>> = {
  'flash attention, batch 512, 2 threads, huge pages': ground,
  'no huge pages': { ...ground, hugePages: false },
  'batch 128': { ...ground, batchSize: 128 },
  'no flash attention': { ...ground, flashAttention: false },
  'no flash attention, batch 128': { ...ground, flashAttention: false, batchSize: 128 },
  '1 thread': { ...ground, threads: 1 },
}

export const tunePeer = async ({ embedding, ...options }: BenchOptions): Promise<void> => {
  installPeer()
  const rounds = Math.min(maxRounds, options.rounds)
  const model = randomLlama(shape135M, embedding)
  const names = Object.keys(tunings)
  const systems = Object.entries(tunings).map(([name, tuning]) => [
    name,
    startPeerProcess(model, tuning),
  ])
  const results = await measureInRounds(rounds, Object.fromEntries(systems), ['one'])
  console.log(
    `## Settings of node-llama-cpp ${peerVersion}\n\nQ4_0 with ${embedding} embedding and head, ` +
      `median of ${rounds} rounds (better than the first by)\n`,
  )
  printTable(['', ...names], compareToFirst(results, names, figuresOfOne))
}
