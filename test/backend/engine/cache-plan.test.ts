import { describe, expect, test } from 'vitest'
import { ConfigError } from '../../../shared/config-error.ts'
import { formatByteSize, parseByteSize } from '../../../backend/byte-size.ts'
import { planCache, type CacheWishes } from '../../../backend/engine/cache-plan.ts'

const gib = 2 ** 30
const none: CacheWishes = {
  maxModelLen: undefined,
  maxNumSeqs: undefined,
  maxNumBatchedTokens: undefined,
}
/** 32 layers, 8 key/value heads of 128, float32: Llama 3.1 8B. */
const llama = { bytesPerToken: 256 * 1024, maxPositions: 131_072 }
const small = { bytesPerToken: 6_144, maxPositions: 2_048 }

describe('a cache plan', () => {
  test('gives a small model its whole context, 16 sequences, and slots to cache prefixes', () => {
    expect(planCache(small, 4 * gib, none)).toEqual({
      maxModelLen: 2_048,
      maxNumSeqs: 16,
      numSlots: 64,
      maxNumBatchedTokens: 256,
      cacheBytes: 64 * 2_048 * 6_144,
    })
  })

  test('shortens a huge context until four sequences fit the memory', () => {
    expect(planCache(llama, 4 * gib, none)).toEqual({
      maxModelLen: 4_096,
      maxNumSeqs: 4,
      numSlots: 4,
      maxNumBatchedTokens: 256,
      cacheBytes: 4 * gib,
    })
  })

  test('keeps to what was asked for, and chooses the rest', () => {
    const plan = (wishes: Partial<CacheWishes>) => {
      const { maxModelLen, maxNumSeqs, numSlots } = planCache(llama, 4 * gib, {
        ...none,
        ...wishes,
      })
      return [maxModelLen, maxNumSeqs, numSlots]
    }
    expect(plan({ maxModelLen: 1_000 })).toEqual([1_000, 16, 16])
    expect(plan({ maxModelLen: 16_384 })).toEqual([16_384, 1, 1])
    expect(plan({ maxNumSeqs: 2 })).toEqual([8_192, 2, 2])
    expect(plan({ maxNumSeqs: 2, maxModelLen: 4_096 })).toEqual([4_096, 2, 4])
    const many = { ...none, maxNumSeqs: 500 }
    expect(planCache(small, 8 * gib, many)).toMatchObject({ maxNumBatchedTokens: 1_000 })
  })

  test('refuses with the numbers what does not fit', () => {
    const refusal = (wishes: Partial<CacheWishes>, memory = 4 * gib): unknown => {
      try {
        return planCache(llama, memory, { ...none, ...wishes })
      } catch (error) {
        return error instanceof ConfigError ? error.message : error
      }
    }
    const advice = 'give more --kv-cache-memory, fewer --max-num-seqs or a shorter --max-model-len'
    expect([
      refusal({ maxNumSeqs: 8, maxModelLen: 4_096 }),
      refusal({ maxModelLen: 32_768 }),
      refusal({}, 10 * 2 ** 20),
      refusal({ maxModelLen: 200_000 }),
      refusal({ maxNumBatchedTokens: 4, maxNumSeqs: 4 }),
    ]).toEqual([
      '--max-num-seqs 8 with --max-model-len 4096 takes 8 GiB of KV cache (1 GiB for each sequence), ' +
        `but --kv-cache-memory is 4 GiB and fits 4: ${advice}`,
      '--max-num-seqs 1 with --max-model-len 32768 takes 8 GiB of KV cache (8 GiB for each sequence), ' +
        `but --kv-cache-memory is 4 GiB and fits 0: ${advice}`,
      '--max-num-seqs 1 with --max-model-len 256 takes 64 MiB of KV cache (64 MiB for each sequence), ' +
        `but --kv-cache-memory is 10 MiB and fits 0: ${advice}`,
      "--max-model-len 200000 is more than the model's context of 131072 tokens",
      '--max-num-batched-tokens 4 must be more than --max-num-seqs 4: each sequence may decode one ' +
        'token a step, and prompts need some too',
    ])
  })

  test('never takes more than the memory, whatever is asked for', () => {
    for (let round = 0; round < 2_000; round++) {
      const wish = (max: number) => (round % 3 === 0 ? undefined : 1 + ((round * 7_919) % max))
      const memory = 2 ** 20 * (1 + ((round * 104_729) % 20_000))
      const model = {
        bytesPerToken: 1_024 * (1 + (round % 500)),
        maxPositions: 128 << (round % 11),
      }
      const wishes = { ...none, maxNumSeqs: wish(64), maxModelLen: wish(model.maxPositions) }
      try {
        const plan = planCache(model, memory, wishes)
        expect(plan.cacheBytes).toBeLessThanOrEqual(memory)
        expect(plan.cacheBytes).toBe(plan.numSlots * plan.maxModelLen * model.bytesPerToken)
        expect(plan.numSlots).toBeGreaterThanOrEqual(plan.maxNumSeqs)
        expect(plan.maxModelLen).toBeLessThanOrEqual(model.maxPositions)
      } catch (error) {
        expect(String(error)).toContain('--kv-cache-memory is')
      }
    }
  })
})

test('sizes are read and written in powers of 1024', () => {
  const texts = [
    '512',
    '1K',
    '512m',
    '1.5GiB',
    '2 GB',
    '',
    '0',
    '-1G',
    '1E',
    'G',
    '1e9',
    '9999999T',
  ]
  expect(texts.map(parseByteSize)).toEqual([
    512,
    1_024,
    512 * 2 ** 20,
    1.5 * gib,
    undefined,
    ...Array.from({ length: 7 }, () => undefined),
  ])
  expect([500, 2_048, 12.6 * 2 ** 20, 4 * gib, 3 * 2 ** 40].map(formatByteSize)).toEqual([
    '500 B',
    '2 KiB',
    '12.6 MiB',
    '4 GiB',
    '3 TiB',
  ])
})
