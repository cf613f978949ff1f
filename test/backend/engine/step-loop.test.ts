import { expect, test } from 'vitest'
import { bundledModelFolder } from '../../../backend/config.ts'
import type { GenerationRequest } from '../../../backend/engine/generation.ts'
import { StepLoop, type DecoderPort } from '../../../backend/engine/step-loop.ts'
import type { Tokenizer } from '../../../backend/tokenizer/tokenizer.ts'
import { loadTokenizer } from '../../../backend/tokenizer/load-tokenizer.ts'
import { generationRequest } from '../../support/generation-request.ts'

const tokenizer = loadTokenizer(bundledModelFolder)
const vocabSize = 640

/** Says token + 1 after each token, no number after token 13; notes the steps that it ran. */
const countingDecoder = () => {
  const steps: string[] = []
  const row = (token: number): Float32Array => {
    const logits = new Float32Array(vocabSize).fill(token === 13 ? Number.NaN : 0)
    if (token !== 13) logits[token + 1] = 50
    return logits
  }
  const decoder: DecoderPort = {
    maxLogits: 4,
    prefill: (slot, past, tokens) => {
      steps.push(`prefill ${tokens.length} at ${past} in ${slot}`)
      return row(tokens[tokens.length - 1] ?? 0)
    },
    decode: (first, tokens) => {
      steps.push(`decode ${tokens.length} from ${first}`)
      const logits = new Float32Array(tokens.length * vocabSize)
      Array.from(tokens).forEach((token, i) => logits.set(row(token), i * vocabSize))
      return logits
    },
    swapSlots: (a, b, length) => {
      steps.push(`swap ${length} of ${a} and ${b}`)
    },
    copySlot: (from, to, length) => {
      steps.push(`copy ${length} from ${from} to ${to}`)
    },
  }
  return { decoder, steps }
}

const loopWith = (decoder: DecoderPort, given: Tokenizer = tokenizer) =>
  new StepLoop(decoder, given, {
    numSlots: 4,
    maxNumSeqs: 4,
    maxNumBatchedTokens: 9,
    vocabSize,
    endOfSequenceTokens: new Set([1]),
  })

const request = (id: string, promptTokens: number[], maxTokens = 100): GenerationRequest =>
  generationRequest({ id, promptTokens, maxTokens, ignoreEos: true })

test('a sequence that decodes gets a token in every step while a long prompt is computed', () => {
  const { decoder, steps } = countingDecoder()
  const loop = loopWith(decoder)
  loop.add(request('short', [20]))
  loop.add(request('long', Array(20).fill(30)))
  const tokens = Array.from({ length: 5 }, () =>
    loop.step().map(({ id, completionTokens }) => `${id} ${completionTokens}`),
  )
  expect(tokens).toEqual([
    ['short 1'],
    ['short 2'],
    ['short 3', 'long 1'],
    ['short 4', 'long 2'],
    ['short 5', 'long 3'],
  ])
  expect(steps).toEqual([
    'prefill 1 at 0 in 0',
    'prefill 8 at 0 in 1',
    'decode 1 from 0',
    'prefill 8 at 8 in 1',
    'decode 1 from 0',
    'prefill 4 at 16 in 1',
    'decode 2 from 0',
    'decode 2 from 0',
  ])
})

test('logits that are no numbers end their own sequence only', () => {
  const loop = loopWith(countingDecoder().decoder)
  loop.add(request('bad', [11]))
  loop.add(request('good', [20], 4))
  const ends: unknown[] = []
  while (loop.hasWork) {
    for (const { text: _, ...event } of loop.step()) if (event.end) ends.push(event)
  }
  expect(ends).toEqual([
    {
      id: 'bad',
      end: 'error',
      completionTokens: 2,
      reason: 'no token can be drawn from the logits',
    },
    { id: 'good', end: 'length', completionTokens: 4 },
  ])
  expect(loop.stats()).toEqual({
    running: 0,
    waiting: 0,
    prefixCacheQueries: 2,
    prefixCacheHits: 0,
    preemptions: 0,
    generatedTokens: 6,
    prefilledTokens: 2,
  })
})

test('a token that cannot be made text, or whose text cannot be flushed, ends its own sequence only', () => {
  const failing: Tokenizer = {
    ...tokenizer,
    encode: tokenizer.encode.bind(tokenizer),
    decode: (ids) => {
      if (ids.includes(13)) throw new Error('no text for 13')
      return tokenizer.decode(ids)
    },
  }
  const loop = loopWith(countingDecoder().decoder, failing)
  loop.add(request('bad', [11]))
  loop.add(request('aborted', [13]))
  loop.add(request('good', [20], 4))
  loop.abort('aborted')
  const ends = new Map<string, unknown>()
  while (loop.hasWork) {
    for (const { id, end, completionTokens, reason } of loop.step()) {
      if (end) ends.set(id, [end, completionTokens, reason])
    }
  }
  expect(Object.fromEntries(ends)).toEqual({
    aborted: ['error', 0, 'Error: no text for 13'],
    bad: ['error', 2, 'Error: no text for 13'],
    good: ['length', 4, undefined],
  })
  expect(loop.stats()).toMatchObject({ running: 0, waiting: 0 })
})
