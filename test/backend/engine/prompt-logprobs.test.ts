/** Log-probabilities of prompts: a real decoder under the step loop, against the textbook model and a plain softmax. */
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bundledModelFolder } from '../../../backend/config.ts'
import type {
  GenerationEvent,
  GenerationRequest,
  PromptLogprob,
} from '../../../backend/engine/generation.ts'
import { seededRandom } from '../../../backend/engine/random.ts'
import { StepLoop, type DecoderPort } from '../../../backend/engine/step-loop.ts'
import { convertModel } from '../../../backend/conversion/convert.ts'
import { openDecoder } from '../../../backend/sharding/sharded-decoder.ts'
import { loadTokenizer } from '../../../backend/tokenizer/load-tokenizer.ts'
import { generationRequest, type GivenRequest } from '../../support/generation-request.ts'
import { makeTempFolder, removeFolder } from '../../support/temp-folder.ts'
import { TinyLlama } from '../graph/tiny-llama.ts'
import { softmax } from './reference-sampler.ts'

const model = new TinyLlama({ max_position_embeddings: 128 })
const { vocabSize } = model.config
const tokenizer = loadTokenizer(bundledModelFolder)
const numSlots = 4
const prompt = Array.from({ length: 100 }, (_, i) => (i * i * 7 + 3) % vocabSize)

let folder = ''
let decoder: ReturnType<typeof openDecoder>

const convert = async (tensorParallelSize: number, pipelineParallelSize: number) => {
  const out = join(folder, `${tensorParallelSize}-${pipelineParallelSize}`)
  await convertModel(folder, out, { parallel: { tensorParallelSize, pipelineParallelSize } })
  return openDecoder(out, { slots: numSlots, capacity: 128, intraOpNumThreads: 1 })
}

beforeAll(async () => {
  folder = makeTempFolder()
  model.write(folder)
  decoder = await convert(1, 1)
})
afterAll(() => {
  decoder.close()
  removeFolder(folder)
})

/** The same decoder with memory for fewer logits, noting its runs. */
const limited = (maxLogits: number, runs: string[] = []): DecoderPort => ({
  maxLogits,
  prefill: (slot, past, tokens, numLogits = 1) => {
    if (numLogits > maxLogits) throw new Error(`${numLogits} logits`)
    runs.push(`${past}+${tokens.length}: ${numLogits}`)
    return decoder.prefill(slot, past, tokens, numLogits)
  },
  decode: (first, tokens, lengths) => decoder.decode(first, tokens, lengths),
  copySlot: (from, to, length) => decoder.copySlot(from, to, length),
  swapSlots: (a, b, length) => decoder.swapSlots(a, b, length),
})

const loopOf = (port: DecoderPort, maxNumBatchedTokens: number, maxNumSeqs = numSlots) =>
  new StepLoop(port, tokenizer, {
    numSlots,
    maxNumSeqs,
    maxNumBatchedTokens,
    vocabSize,
    endOfSequenceTokens: new Set(),
  })

const scored = (given: GivenRequest = {}): GenerationRequest =>
  generationRequest({ promptTokens: prompt, maxTokens: 3, promptLogprobs: 4, ...given })

const finish = (loop: StepLoop): GenerationEvent[] => {
  const events: GenerationEvent[] = []
  while (loop.hasWork) events.push(...loop.step())
  return events
}

const scoresIn = (events: readonly GenerationEvent[], id = 'x'): PromptLogprob[] =>
  events.flatMap((event) => (event.id === id ? (event.promptLogprobs ?? []) : []))

/** Float32 against double precision. */
const tolerance = 1e-4

/** What is wrong with the scores of `tokens` from the second on; nothing if they are right. */
const faults = (scores: readonly PromptLogprob[], tokens: readonly number[], numTop = 4) => {
  const expected = model.logits(tokens).map((logits) => softmax(logits).map(Math.log))
  const found = scores.flatMap(({ token, logprob, rank, top }, at) => {
    const row = expected[at] ?? []
    const isNear = (value: number, other: number) => Math.abs(value - other) < tolerance
    const likeliest = row.toSorted((a, b) => b - a)
    const own = row[token] ?? Number.NaN
    // Two that are nearly equal may change places.
    const [least, most] = [own + tolerance, own - tolerance].map(
      (bound) => 1 + row.filter((value) => value > bound).length,
    )
    const isRight =
      token === tokens[at + 1] &&
      isNear(logprob, own) &&
      rank >= (least ?? 0) &&
      rank <= (most ?? 0) &&
      top.length === numTop &&
      top.every((one, i) => isNear(one.logprob, likeliest[i] ?? 0)) &&
      top.every((one) => isNear(one.logprob, row[one.token] ?? 0))
    return isRight ? [] : [`token ${at + 1}: ${JSON.stringify({ token, logprob, rank, top, own })}`]
  })
  return scores.length === tokens.length - 1 ? found : [`${scores.length} scores`, ...found]
}

describe('the log-probabilities of a prompt are those of the textbook', () => {
  test.each([
    ['in one piece', 128, 128],
    ['in one chunk, few logits at a time', 128, 7],
    ['one at a time', 128, 1],
    ['in chunks', 9, 128],
    ['in chunks, few logits at a time', 33, 10],
  ])('%s', (_name, maxNumBatchedTokens, maxLogits) => {
    const loop = loopOf(limited(maxLogits), maxNumBatchedTokens)
    loop.add(scored())
    const events = finish(loop)
    expect(faults(scoresIn(events), prompt)).toEqual([])
    // The answer is what it is without.
    const other = loopOf(decoder, 128)
    other.add(scored({ promptLogprobs: null }))
    const told = (all: readonly GenerationEvent[]) => all.map(({ text }) => text).join('')
    expect(told(events)).toBe(told(finish(other)))
    expect(events.at(-1)).toMatchObject({ completionTokens: 3, end: 'length' })
  })

  test.each([
    [2, 1],
    [1, 2],
    [2, 2],
  ])('tensor parallel %i × pipeline parallel %i', async (tensor, pipeline) => {
    const sharded = await convert(tensor, pipeline)
    for (const maxNumBatchedTokens of [128, 40]) {
      const loop = loopOf(sharded, maxNumBatchedTokens)
      // Others are in the middle of their answers.
      const others = ['a', 'b'].map((id) => ({ id, promptTokens: [5, 6], maxTokens: 12 }))
      for (const other of others) loop.add(scored({ ...other, promptLogprobs: null }))
      for (let step = 0; step < 3; step++) loop.step()
      loop.add(scored({ promptLogprobs: 0 }))
      expect(faults(scoresIn(finish(loop)), prompt, 0)).toEqual([])
    }
    sharded.close()
  })

  test('of a prompt of one token there are none', () => {
    const loop = loopOf(decoder, 16)
    loop.add(scored({ promptTokens: [5] }))
    const events = finish(loop)
    expect([scoresIn(events), events.length]).toEqual([[], 3])
  })
})

test('no more logits are computed at a time than there is memory for, and no token twice', () => {
  const runs: string[] = []
  // 64 scored tokens a step.
  const loop = loopOf(limited(30, runs), 128)
  loop.add(scored())
  finish(loop)
  expect(runs).toEqual(['0+30: 30', '30+30: 30', '60+4: 4', '64+30: 30', '94+6: 6'])
  expect(loop.stats().prefilledTokens).toBe(100)
})

test('maxTokens 0: the prompt is scored, nothing is sampled, and its rows serve others', () => {
  const loop = loopOf(decoder, 128)
  loop.add(scored({ maxTokens: 0 }))
  const events = finish(loop)
  expect(faults(scoresIn(events), prompt)).toEqual([])
  expect(events.map(({ text, completionTokens, end }) => [text, completionTokens, end])).toEqual([
    ['', 0, undefined],
    ['', 0, 'length'],
  ])
  loop.add(scored({ promptLogprobs: null }))
  finish(loop)
  expect(loop.stats()).toMatchObject({
    running: 0,
    generatedTokens: 3,
    prefixCacheQueries: 100,
    prefixCacheHits: 99,
  })
})

test('rows that others left are not used: their logits are gone', () => {
  const loop = loopOf(decoder, 128)
  for (const maxTokens of [0, 2]) {
    loop.add(scored({ promptLogprobs: null, maxTokens }))
    finish(loop)
    loop.add(scored({ maxTokens }))
    expect(faults(scoresIn(finish(loop)), prompt)).toEqual([])
  }
})

describe('preempted', () => {
  /** Interrupts after `steps` steps, for as long as another request takes. */
  const interrupted = (steps: number, runs: string[]) => {
    // 24 scored tokens a step.
    const loop = loopOf(limited(16, runs), 48, 1)
    loop.add(scored({ priority: 1, maxTokens: 6 }))
    const events: GenerationEvent[] = []
    for (let i = 0; i < steps; i++) events.push(...loop.step())
    const other = { id: 'other', promptTokens: [7, 8, 9] }
    loop.add(scored({ ...other, maxTokens: 2 }))
    events.push(...finish(loop))
    return { events, stats: loop.stats() }
  }

  test.each([1, 2, 3, 4, 5, 6])('after step %i: each score comes once', (steps) => {
    const { events, stats } = interrupted(steps, [])
    expect(faults(scoresIn(events), prompt)).toEqual([])
    expect(faults(scoresIn(events, 'other'), [7, 8, 9])).toEqual([])
    expect(stats.preemptions).toBe(1)
  })

  test('its own rows are found again, as far as it was scored', () => {
    const runs: string[] = []
    interrupted(2, runs)
    expect(runs).toEqual([
      '0+16: 16',
      '16+8: 8',
      '24+16: 16',
      '40+8: 8',
      '0+3: 3',
      // The first of these steps has one token less: the other's last.
      '48+16: 16',
      '64+7: 7',
      '71+16: 16',
      '87+8: 8',
      '95+5: 5',
    ])
  })
})

test('random requests, scored and not: each gets the scores of its own prompt, once', () => {
  const random = seededRandom(11)
  const roll = (below: number): number => Math.floor(random.next() * below)
  const loop = loopOf(limited(5), 13, 2)
  const events: GenerationEvent[] = []
  const prompts = Array.from({ length: 30 }, () => {
    const tail = Array.from({ length: 1 + roll(4) }, () => roll(vocabSize))
    return [...prompt.slice(0, roll(30)), ...tail]
  })
  for (const [index, promptTokens] of prompts.entries()) {
    const promptLogprobs = index % 3 === 0 ? null : 4
    const given = { promptTokens, promptLogprobs, priority: roll(3), maxTokens: roll(6) }
    loop.add(scored({ id: `${index}`, ...given }))
    for (let steps = roll(4); steps > 0; steps--) events.push(...loop.step())
  }
  events.push(...finish(loop))
  for (const [index, promptTokens] of prompts.entries()) {
    const scores = scoresIn(events, `${index}`)
    if (index % 3 === 0) expect(scores).toEqual([])
    else expect(faults(scores, promptTokens)).toEqual([])
  }
  const { preemptions, prefixCacheHits } = loop.stats()
  expect({ preempts: preemptions > 1, hits: prefixCacheHits > 0 }).toEqual({
    preempts: true,
    hits: true,
  })
})

test.each([
  ['a score', 30, 4],
  ['the last logits, with nothing to sample', 99, null],
])('logits that are no numbers end the sequence: those of %s', (_name, at, promptLogprobs) => {
  const runs: string[] = []
  const broken: DecoderPort = {
    ...limited(128),
    prefill: (slot, past, tokens, numLogits = 1) => {
      runs.push(`${past}`)
      const logits = Float32Array.from(decoder.prefill(slot, past, tokens, numLogits))
      const row = at - (past + tokens.length - numLogits)
      if (row >= 0) logits.fill(Number.NaN, row * vocabSize, (row + 1) * vocabSize)
      return logits
    },
  }
  // 20 tokens a step.
  const loop = loopOf(broken, promptLogprobs === null ? 20 : 40)
  loop.add(scored({ promptLogprobs, maxTokens: 0 }))
  expect(finish(loop).at(-1)).toMatchObject({ end: 'error', completionTokens: 0 })
  expect(runs.length).toBe(promptLogprobs === null ? 5 : 2)
  // Nobody takes rows over that may be wrong.
  loop.add(scored({ promptLogprobs: null }))
  finish(loop)
  expect(loop.stats().prefixCacheHits).toBe(0)
})
