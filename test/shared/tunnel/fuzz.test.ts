/** The short form of test/bench/tunnel/fuzz.ts. */
import { describe, expect, it } from 'vitest'
import { seededRandom } from '../../support/seeded-random.ts'
import { fuzzCodec } from '../../support/tunnel-fuzz/codec.ts'
import { fuzzPairs } from '../../support/tunnel-fuzz/pairs.ts'
import { fuzzSessions } from '../../support/tunnel-fuzz/sessions.ts'

describe('whatever comes', () => {
  it('the codec gives back what was whole, and refuses the rest', () => {
    expect(fuzzCodec(seededRandom(11), 20_000)).toBeGreaterThanOrEqual(20_000)
  })

  it('a session fails by the fault of its peer only, and settles everything', async () => {
    expect(await fuzzSessions(seededRandom(12), 5_000)).toBeGreaterThanOrEqual(5_000)
  })

  it('two sessions over a bad transport settle everything', async () => {
    expect(await fuzzPairs(seededRandom(13), 2_000)).toBeGreaterThanOrEqual(2_000)
  })
})
