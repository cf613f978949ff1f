/**
 * Fuzzes the tunnel: the frame codec, each session alone, and both together. Ends with status 1 and
 * the seed to repeat it at the first defect.
 *
 *     node test/bench/tunnel/fuzz.ts [--frames 10000000] [--seed 1]
 */
import { parseArgs } from 'node:util'
import { seededRandom } from '../../support/seeded-random.ts'
import { fuzzCodec } from '../../support/tunnel-fuzz/codec.ts'
import { fuzzPairs } from '../../support/tunnel-fuzz/pairs.ts'
import { fuzzSessions } from '../../support/tunnel-fuzz/sessions.ts'

const { values } = parseArgs({
  options: {
    frames: { type: 'string', default: '10000000' },
    seed: { type: 'string', default: '1' },
  },
})
const numFrames = Number(values.frames)
const firstSeed = Number(values.seed)
if (!Number.isSafeInteger(numFrames) || numFrames < 1 || !Number.isSafeInteger(firstSeed)) {
  throw new Error('--frames and --seed take whole numbers')
}

let seed = firstSeed
const fail = (error: unknown) => {
  console.error(error)
  console.error(`\nrepeat it with --seed ${seed}`)
  process.exit(1)
}
process.on('unhandledRejection', fail)
process.on('uncaughtException', fail)

const stages = [
  ['codec', fuzzCodec, 0.5],
  ['sessions', fuzzSessions, 0.35],
  ['pairs', fuzzPairs, 0.15],
] as const

/** Frames with one seed: a defect is repeated within seconds. */
const framesPerSeed = 200_000

const start = performance.now()
let total = 0
const counts = new Map<string, number>()
while (total < numFrames) {
  for (const [name, fuzz, share] of stages) {
    const count = await fuzz(seededRandom(seed), framesPerSeed * share)
    counts.set(name, (counts.get(name) ?? 0) + count)
    total += count
  }
  seed++
  const seconds = Math.round((performance.now() - start) / 1000)
  const rssMiB = Math.round(process.memoryUsage.rss() / 2 ** 20)
  console.log(`${total} frames, ${seconds} s, ${rssMiB} MiB`)
}
console.log(Object.fromEntries(counts))
process.exit(0)
