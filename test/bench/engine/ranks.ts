/** Two ranks on two cores against one rank with two threads, through the whole engine. */
import type { BurrowOptions } from './burrow.ts'
import { startBurrow } from './burrow.ts'
import { convertedModel } from './models/converted-model.ts'
import { randomLlama, shape135MEven } from './models/random-llama.ts'
import type { BenchOptions } from './options.ts'
import { compareToFirst, measureInRounds } from './rounds.ts'
import { printTable } from './statistics.ts'

const forms: Readonly<Record<string, Pick<BurrowOptions, 'threads' | 'parallel'>>> = {
  'one rank, 2 threads': { threads: 2 },
  'T=2': { threads: 2, parallel: { tensorParallelSize: 2, pipelineParallelSize: 1 } },
  'P=2': { threads: 2, parallel: { tensorParallelSize: 1, pipelineParallelSize: 2 } },
}

export const measureRanks = async ({ format, embedding, rounds }: BenchOptions): Promise<void> => {
  const model = randomLlama(shape135MEven, embedding)
  for (const { parallel } of Object.values(forms)) await convertedModel(model, format, parallel)
  const systems = Object.entries(forms).map(([name, form]) => [
    name,
    startBurrow(model, { format, ...form }),
  ])
  const results = await measureInRounds(rounds, Object.fromEntries(systems))
  const names = Object.keys(forms)
  const { numHeads, numKvHeads } = shape135MEven
  console.log(
    `## Two ranks on two cores\n\n${format}, ${numHeads} and ${numKvHeads} heads, ` +
      `median of ${rounds} rounds (better than the first by)\n`,
  )
  printTable(['', ...names], compareToFirst(results, names))
}
