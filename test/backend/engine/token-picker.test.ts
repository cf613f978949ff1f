import { describe, expect, test } from 'vitest'
import { choiceSeed, seededRandom, type Random } from '../../../backend/engine/random.ts'
import { samplerScratch, type SamplerScratch } from '../../../backend/engine/sampler-scratch.ts'
import { TokenPicker } from '../../../backend/engine/token-picker.ts'
import { generationRequest, type GivenRequest } from '../../support/generation-request.ts'
import { drawProbabilities, processedLogits, softmax } from './reference-sampler.ts'

const normal = (random: Random): number =>
  Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next())

const float32Logits = (random: Random, size: number, sd: number): number[] =>
  Array.from({ length: size }, () => Math.fround(sd * normal(random)))

const oneOf = <T>(random: Random, values: readonly T[]): T =>
  values[Math.floor(random.next() * values.length)]!

const tokensUpTo = (random: Random, size: number, count: number): number[] =>
  Array.from({ length: count }, () => Math.floor(random.next() * size))

/** Anything a request may say about sampling. */
const randomRequest = (random: Random, vocabSize: number): GivenRequest => ({
  promptTokens: tokensUpTo(random, vocabSize, 12),
  minTokens: oneOf(random, [0, 0, 3, 8]),
  stopTokenIds: oneOf(random, [[], [1, 4]]),
  logprobs: oneOf(random, [null, 0, 3]),
  sampling: {
    temperature: oneOf(random, [0, 0.3, 0.8, 1, 2]),
    topP: oneOf(random, [1, 1, 0.95, 0.6, 0.1, 0]),
    topK: oneOf(random, [0, 0, 1, 3, 20, 1_000]),
    minP: oneOf(random, [0, 0, 0.02, 0.3, 1]),
    repetitionPenalty: oneOf(random, [1, 1.3, 0.7]),
    frequencyPenalty: oneOf(random, [0, 0.7, -0.5]),
    presencePenalty: oneOf(random, [0, 1.1, -0.4]),
    logitBias: oneOf(random, [
      [],
      [
        [2, 5],
        [3, -100],
      ],
    ]),
    seed: Math.floor(random.next() * 1e9),
  },
})

describe('picked tokens', () => {
  test('have the probabilities of the plain reference, whatever the parameters', () => {
    const random = seededRandom(2026)
    for (let round = 0; round < 100; round++) {
      const vocabSize = oneOf(random, [5, 40, 300])
      const logits = float32Logits(random, vocabSize, oneOf(random, [0.01, 1, 4]))
      const given = randomRequest(random, vocabSize)
      const scratch = samplerScratch(vocabSize)
      const request = generationRequest(given)
      const endTokens = [0, ...request.stopTokenIds]
      const history = tokensUpTo(random, vocabSize, 6).filter(
        (token) => request.minTokens === 0 || !endTokens.includes(token),
      )
      const reference = processedLogits(logits, request, history, endTokens)
      const expected = drawProbabilities(reference, request.sampling)

      // Each draw follows the same history, with a seed of its own.
      const draws = request.sampling.temperature === 0 ? 1 : 200
      const counts = logits.map(() => 0)
      for (let draw = 0; draw < draws; draw++) {
        const sampling = { ...given.sampling, seed: round * 1_000 + draw }
        const picker = new TokenPicker(generationRequest({ ...given, sampling }), new Set([0]))
        for (const token of history) force(picker, token, vocabSize, scratch)
        const picked = picker.pick(Float32Array.from(logits), scratch)
        counts[picked?.token ?? -1]! += 1
      }
      counts.forEach((count, token) => {
        const probability = expected[token]!
        const deviation = Math.sqrt(draws * probability * (1 - probability))
        const where = `round ${round}, token ${token} of ${JSON.stringify(request)}`
        // A token that may not come never comes; the others as often as they should.
        if (probability === 0) expect(count, where).toBe(0)
        else expect(Math.abs(count - draws * probability), where).toBeLessThan(5 * deviation + 2)
      })
    }
  })

  test('greedy with penalties follow the reference step by step', () => {
    const random = seededRandom(7)
    const vocabSize = 30
    const request = generationRequest({
      promptTokens: [3, 4, 5],
      minTokens: 10,
      stopTokenIds: [9],
      sampling: { repetitionPenalty: 1.2, frequencyPenalty: 0.4, presencePenalty: 0.3 },
    })
    const picker = new TokenPicker(request, new Set([1]))
    const scratch = samplerScratch(vocabSize)
    const output: number[] = []
    for (let step = 0; step < 60; step++) {
      const logits = float32Logits(random, vocabSize, 2)
      const reference = processedLogits(logits, request, output, [1, 9])
      const token = picker.pick(Float32Array.from(logits), scratch)?.token ?? -1
      expect(token).toBe(reference.indexOf(Math.max(...reference)))
      output.push(token)
    }
    expect(output.slice(0, 10).some((token) => token === 1 || token === 9)).toBe(false)
    expect(output.some((token) => token === 1 || token === 9)).toBe(true)
  })

  test('repeat by their seed, and choice i is what the seed + i gives', () => {
    const logits = Float32Array.from(float32Logits(seededRandom(1), 200, 1))
    const scratch = samplerScratch(200)
    const picks = (seed: number) => {
      const picker = new TokenPicker(
        generationRequest({ sampling: { temperature: 1, topP: 0.9, seed } }),
        new Set(),
      )
      return Array.from({ length: 8 }, () => picker.pick(logits, scratch)?.token)
    }
    expect(picks(5)).toEqual(picks(5))
    expect(picks(choiceSeed(5, 0))).toEqual(picks(5))
    expect(picks(choiceSeed(5, 1))).toEqual(picks(6))
    expect(picks(5)).not.toEqual(picks(6))
  })

  test('leave the logits as they are', () => {
    const logits = Float32Array.of(1, 2, 3)
    const request = generationRequest({ minTokens: 1, sampling: { logitBias: [[0, 9]] } })
    expect(new TokenPicker(request, new Set([2])).pick(logits, samplerScratch(3))?.token).toBe(0)
    expect(logits).toEqual(Float32Array.of(1, 2, 3))
  })
})

/** The token becomes part of the output, whatever the request would rather sample. */
const force = (
  picker: TokenPicker,
  token: number,
  vocabSize: number,
  scratch: SamplerScratch,
): void => {
  const logits = new Float32Array(vocabSize).fill(-1e30)
  logits[token] = 1e30
  picker.pick(logits, scratch)
}

describe('seeds of choices', () => {
  test('are all different, also at the end of the integers', () => {
    const max = Number.MAX_SAFE_INTEGER
    for (const seed of [0, -3, max - 2, max]) {
      const seeds = Array.from({ length: 8 }, (_, index) => choiceSeed(seed, index))
      expect(new Set(seeds).size).toBe(8)
      expect(seeds.every(Number.isSafeInteger)).toBe(true)
    }
    expect(choiceSeed(max, 1)).toBe(Number.MIN_SAFE_INTEGER)
  })
})

describe('log-probabilities', () => {
  test.each([
    ['greedy', {}],
    ['changed by everything', { temperature: 0.7, topK: 3, repetitionPenalty: 2 }],
    ['at temperature 1', { temperature: 1, topP: 0.9 }],
    ['at another temperature', { temperature: 0.7, topP: 0.9 }],
    ['with min-p', { temperature: 1, minP: 0.2 }],
  ])('are those of the model itself, %s', (_, sampling) => {
    const random = seededRandom(11)
    const scratch = samplerScratch(500)
    for (const sd of [0.1, 3, 12]) {
      const logits = float32Logits(random, 500, sd)
      const expected = softmax(logits).map(Math.log)
      const request = generationRequest({ promptTokens: [1, 2], logprobs: 5, sampling })
      const picked = new TokenPicker(request, new Set()).pick(Float32Array.from(logits), scratch)
      const token = picked?.token ?? -1
      expect(picked?.logprob?.token).toBe(token)
      expect(picked?.logprob?.logprob).toBeCloseTo(expected[token]!, 6)
      const top = [...expected.keys()].sort((a, b) => expected[b]! - expected[a]! || a - b)
      expect(picked?.logprob?.top.map(({ token: id }) => id)).toEqual(top.slice(0, 5))
      for (const one of picked?.logprob?.top ?? []) {
        expect(one.logprob).toBeCloseTo(expected[one.token]!, 6)
      }
    }
  })

  test.each([
    { temperature: 1 },
    { temperature: 1, minP: 0.5 },
    { temperature: 0.7, minP: 0.01, topP: 0.9 },
  ])('are the same whatever the draw came by: %j', (sampling) => {
    // So alike that min-p leaves thousands.
    const logits = float32Logits(seededRandom(3), 20_000, 0.2)
    const expected = softmax(logits).map(Math.log)
    const request = generationRequest({ logprobs: 0, sampling })
    const picker = new TokenPicker(request, new Set())
    const picked = picker.pick(Float32Array.from(logits), samplerScratch(20_000))
    expect(picked?.logprob?.logprob).toBeCloseTo(expected[picked?.token ?? -1]!, 6)
  })

  test('sum to one over the whole vocabulary, and an impossible token has −∞', () => {
    const logits = Float32Array.of(2, Number.NEGATIVE_INFINITY, -1, 2)
    const request = generationRequest({ logprobs: 4 })
    const { logprob } = new TokenPicker(request, new Set()).pick(logits, samplerScratch(4)) ?? {}
    expect(logprob?.top.map(({ token }) => token)).toEqual([0, 3, 2, 1])
    expect(logprob?.top[3]?.logprob).toBe(Number.NEGATIVE_INFINITY)
    const total = logprob?.top.reduce((sum, one) => sum + Math.exp(one.logprob), 0)
    expect(total).toBeCloseTo(1, 6)
  })

  test('are told only when asked for, with as many others as asked for', () => {
    const logits = Float32Array.of(1, 2)
    const logprob = (logprobs: number | null) =>
      new TokenPicker(generationRequest({ logprobs }), new Set()).pick(logits, samplerScratch(2))
        ?.logprob
    expect(logprob(null)).toBeNull()
    expect(logprob(0)?.top).toEqual([])
    expect(logprob(20)?.top.length).toBe(2)
  })
})
