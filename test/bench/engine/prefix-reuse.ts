/**
 * What the prefix cache and the sharing of steps are worth, with the bundled model, through the engine's thread:
 * time to the first token of a 1000-token prompt that was seen before but for its last 20 tokens, against one that
 * was not; and of a short prompt alone, and right behind one of 1900 tokens. Medians, interleaved.
 *
 *   node test/bench/engine/prefix-reuse.ts [rounds]
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bundledModelFolder } from '../../../backend/config.ts'
import { OnnxEngine } from '../../../backend/engine/engine.ts'
import type { GenerationStream } from '../../../backend/engine/generation-stream.ts'
import { convertModel } from '../../../backend/conversion/convert.ts'
import { loadTokenizer } from '../../../backend/tokenizer/load-tokenizer.ts'
import { generationRequest } from '../../support/generation-request.ts'

const rounds = Number(process.argv[2] ?? 15)

const folder = mkdtempSync(join(tmpdir(), 'burrow-bench-'))
const { vocabSize, maxPositions } = await convertModel(bundledModelFolder, folder)
const engine = await OnnxEngine.start({
  modelFolder: bundledModelFolder,
  graphFolder: folder,
  tokenizer: loadTokenizer(bundledModelFolder),
  numSlots: 64,
  maxNumSeqs: 16,
  maxNumRequests: 1024,
  maxNumBatchedTokens: 256,
  vocabSize,
  maxModelLen: maxPositions,
  endOfSequenceTokens: [],
  intraOpNumThreads: 2,
})

const randomTokens = (count: number): number[] =>
  Array.from({ length: count }, () => 2 + Math.floor(Math.random() * (vocabSize - 2)))

const add = (promptTokens: readonly number[], maxTokens = 1, cacheSalt = ''): GenerationStream =>
  engine.add(
    generationRequest({
      id: crypto.randomUUID(),
      promptTokens,
      maxTokens,
      ignoreEos: true,
      cacheSalt,
    }),
  )

/** Milliseconds to the first token. */
const firstToken = async (promptTokens: readonly number[], cacheSalt?: string): Promise<number> => {
  const startedAt = performance.now()
  await add(promptTokens, 1, cacheSalt).result
  return performance.now() - startedAt
}

/** Longest wait between two tokens of a running sequence while `promptTokens` are computed, in ms. */
const longestGap = async (promptTokens: readonly number[] | null): Promise<number> => {
  const running = add(randomTokens(4), 400)
  let [longest, last, count] = [0, 0, 0]
  for await (const _ of running) {
    const now = performance.now()
    // Its own prompt and the start are no part of it.
    if (count > 2) longest = Math.max(longest, now - last)
    last = now
    if (++count === 50 && promptTokens !== null) void add(promptTokens).result
    if (count === 120) break
  }
  return longest
}

const times: Record<string, number[]> = {}
const note = (name: string, ms: number): void => {
  times[name] = [...(times[name] ?? []), ms]
}

// Warm up.
for (let i = 0; i < 3; i++) await firstToken(randomTokens(1000))

for (let round = 0; round < rounds; round++) {
  const prefix = randomTokens(980)
  note('1000 tokens, new', await firstToken([...prefix, ...randomTokens(20)]))
  note('1000 tokens, 980 seen before', await firstToken([...prefix, ...randomTokens(20)]))
  const ofAnother = await firstToken([...prefix, ...randomTokens(20)], 'another')
  note('1000 tokens, 980 seen before by another tenant', ofAnother)
  note('10 tokens, alone', await firstToken(randomTokens(10)))
  const long = add(randomTokens(1900))
  // Let the long one begin.
  await new Promise((resolve) => setTimeout(resolve, 5))
  note('10 tokens, while 1900 are computed', await firstToken(randomTokens(10)))
  await long.result
  note('longest wait of a running stream, nothing else', await longestGap(null))
  note(
    'longest wait of a running stream, while 1900 are computed',
    await longestGap(randomTokens(1900)),
  )
}
const { prefixCacheQueries, prefixCacheHits } = engine.stats()
await engine.close()
rmSync(folder, { recursive: true })

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

console.log(`| time to the first token, median of ${rounds} | ms |\n|---|---|`)
for (const [name, values] of Object.entries(times)) {
  console.log(`| ${name} | ${median(values).toFixed(1)} |`)
}
const [fresh = [], seen = []] = Object.values(times)
console.log(`\nprefix reuse: ${(median(fresh) / median(seen)).toFixed(1)} times faster`)
console.log(`prefix cache: ${prefixCacheHits} of ${prefixCacheQueries} tokens found`)
