/** The engine's limits and its prefix cache, as a user and two tenants see them. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { RunningBurrow } from '../support/running-burrow.ts'

let burrow: RunningBurrow
beforeAll(async () => {
  const cache = ['--max-model-len', '1024', '--max-num-seqs', '2', '--kv-cache-memory', '20M']
  burrow = await RunningBurrow.start([...cache, '--max-num-batched-tokens', '64'])
})
afterAll(() => burrow.stop())

const system = 'Answer in one word. '.repeat(10)

/** Tokens of the prompt that were in the cache. */
const hitsOf = async (apiKey: string, question: string): Promise<number> => {
  const before = (await burrow.engine())?.prefixCacheHits ?? Number.NaN
  await burrow.client(apiKey).completions.create({
    model: burrow.model,
    prompt: system + question,
    max_tokens: 4,
  })
  return ((await burrow.engine())?.prefixCacheHits ?? Number.NaN) - before
}

test('what was chosen is told in one line, and holds', async () => {
  await burrow.process.printed(
    /maxModelLen=1024 modelContext=2048 maxNumSeqs=2 cacheSlots=3 cacheDtype=float32 cache="18 MiB of 20 MiB" maxNumBatchedTokens=64/,
  )
  const tooLong = { model: burrow.model, prompt: 'a'.repeat(3_000), max_tokens: 4 }
  const response = await burrow.post('/v1/completions', tooLong)
  expect([response.status, await response.text()]).toEqual([
    400,
    expect.stringContaining('maximum context length is 1024'),
  ])
})

test('a second prompt with the same beginning skips it, but not for another tenant', async () => {
  const other = (await burrow.admin.createKey('other')).secret.reveal()
  const hits = [
    await hitsOf(burrow.key, '3+5=?'),
    await hitsOf(burrow.key, '7+2=?'),
    await hitsOf(other, '7+2=?'),
    await hitsOf(other, '1+1=?'),
  ]
  const [first, second, ofOther, secondOfOther] = hits
  expect([first, ofOther]).toEqual([0, 0])
  expect(second).toBeGreaterThan(50)
  expect(secondOfOther).toBe(second)
})
