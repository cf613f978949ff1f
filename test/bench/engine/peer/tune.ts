/** Tries the peer's settings one by one, from a common ground: which are worth having in the comparison. */
import { randomLlama, shape135M } from '../models/random-llama.ts'
import type { BenchOptions } from '../options.ts'
import { compareToFirst, measureInRounds } from '../rounds.ts'
import { printTable } from '../statistics.ts'
import { installPeer } from './node-llama-cpp.ts'
import { measurePeer, type PeerTuning } from './peer.ts'

export const tunePeer = async ({ embedding, rounds, threads }: BenchOptions): Promise<void> => {
  installPeer()
  const ground: PeerTuning = { flashAttention: false, batchSize: 512, threads, useMmap: true }
  const tunings: Readonly<Record<string, PeerTuning>> = {
    [`no flash attention, batch 512, ${threads} threads, mmap`]: ground,
    'flash attention': { ...ground, flashAttention: true },
    'batch 128': { ...ground, batchSize: 128 },
    'batch 2048': { ...ground, batchSize: 2048 },
    'half the threads': { ...ground, threads: Math.ceil(threads / 2) },
    'no mmap': { ...ground, useMmap: false },
  }
  const model = randomLlama(shape135M, embedding)
  const systems = Object.entries(tunings).map(([name, tuning]) => [
    name,
    measurePeer(model, tuning),
  ])
  const results = await measureInRounds(rounds, Object.fromEntries(systems))
  const names = Object.keys(tunings)
  console.log(
    `## Settings of node-llama-cpp, median of ${rounds} rounds (better than the first by)\n`,
  )
  printTable(['', ...names], compareToFirst(results, names))
}
