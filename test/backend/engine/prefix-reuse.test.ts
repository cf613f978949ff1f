/** Reused, resumed and batched: with the real decoder each text is that of the request alone. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bundledModelFolder } from '../../../backend/config.ts'
import type { GenerationRequest } from '../../../backend/engine/generation.ts'
import { seededRandom } from '../../../backend/engine/random.ts'
import { StepLoop } from '../../../backend/engine/step-loop.ts'
import { convertModel } from '../../../backend/conversion/convert.ts'
import { Decoder } from '../../../backend/graph/decoder.ts'
import { Detokenizer } from '../../../backend/tokenizer/detokenizer.ts'
import { loadTokenizer } from '../../../backend/tokenizer/load-tokenizer.ts'
import { generationRequest, type GivenRequest } from '../../support/generation-request.ts'
import { makeTempFolder, removeFolder } from '../../support/temp-folder.ts'

const tokenizer = loadTokenizer(bundledModelFolder)
const folder = makeTempFolder()
const capacity = 512
const numSlots = 6
let decoder: Decoder

beforeAll(async () => {
  await convertModel(bundledModelFolder, folder)
  decoder = new Decoder(folder, { slots: numSlots, capacity, intraOpNumThreads: 1 })
})
afterAll(() => {
  decoder.close()
  removeFolder(folder)
})

const maxTokens = 24
/** Sums in float32 come in another order in another batch: such a difference may decide a tie. */
const nearTie = 2e-4

/** The most probable token, and how far the second is behind. */
const greedy = (logits: Float32Array): { readonly token: number; readonly gap: number } => {
  let [token, best, second] = [-1, -Infinity, -Infinity]
  for (const [id, logit] of logits.entries()) {
    if (logit > best) [token, best, second] = [id, logit, best]
    else if (logit > second) second = logit
  }
  return { token, gap: best - second }
}

/** Computed by hand, with no cache but its own, no batch and no scheduler: text and gap of each token. */
const alone = (promptTokens: readonly number[]) => {
  const detokenizer = new Detokenizer(tokenizer, promptTokens)
  const steps: { text: string; gap: number }[] = []
  let logits = decoder.prefill(0, 0, promptTokens)
  for (let length = promptTokens.length; steps.length < maxTokens; length++) {
    const { token, gap } = greedy(logits)
    steps.push({ text: detokenizer.push(token), gap })
    logits = decoder.decode(0, [token], [length])
  }
  return { steps, text: steps.map(({ text }) => text).join('') + detokenizer.flush() }
}

/** Whether the texts are the same up to a token where the first two were as good as equal. */
const isSame = (text: string, { steps, text: expected }: ReturnType<typeof alone>): boolean => {
  if (text === expected) return true
  let length = 0
  const split = steps.findIndex((step) => {
    length += step.text.length
    return text.slice(0, length) !== expected.slice(0, length)
  })
  return (steps[split]?.gap ?? Infinity) <= nearTie
}

const roll = (() => {
  const random = seededRandom(5)
  return (below: number): number => Math.floor(random.next() * below)
})()

const questions = ['3+5=?', 'reverse abc', '你是谁？', 'count from 3 to 9', '从1数到9', '12*3=?']
const systemPrompts = [
  '',
  'Answer in one word. ',
  '请用中文回答。'.repeat(4),
  'You are a tiger. '.repeat(9),
]

const randomRequest = (id: number, given: GivenRequest): GenerationRequest => {
  const [system, question] = [systemPrompts[roll(4)], questions[roll(6)]]
  const text = `\n\n### Instruction:\n${system}${question}\n\n### Response:\n`
  return generationRequest({
    id: `${id}`,
    promptTokens: tokenizer.encode(text, false),
    maxTokens,
    ignoreEos: true,
    priority: roll(4),
    ...given,
  })
}

/** Adds requests at random steps; their texts by id, and the statistics. */
const serve = (requests: readonly GenerationRequest[], maxNumSeqs: number) => {
  const loop = new StepLoop(decoder, tokenizer, {
    numSlots,
    maxNumSeqs,
    maxNumBatchedTokens: 40,
    vocabSize: decoder.manifest.vocabSize,
    endOfSequenceTokens: new Set(),
  })
  const texts = new Map<string, string>()
  const step = () => {
    for (const { id, text } of loop.step()) texts.set(id, (texts.get(id) ?? '') + text)
  }
  for (const request of requests) {
    loop.add(request)
    // About as many as can be served: slots are full at times, and empty at others.
    for (let steps = roll((2 * maxTokens) / maxNumSeqs); steps > 0; steps--) step()
  }
  while (loop.hasWork) step()
  return { texts, stats: loop.stats() }
}

test.each([
  { maxNumSeqs: 1, salts: 1, hits: true },
  { maxNumSeqs: 2, salts: 1, hits: true },
  { maxNumSeqs: 2, salts: 2, hits: true },
  { maxNumSeqs: 6, salts: 1, hits: true },
  { maxNumSeqs: 6, salts: Infinity, hits: false },
])('$maxNumSeqs sequences at a time, $salts tenants: each text is as alone', (given) => {
  const requests = Array.from({ length: 40 }, (_, id) =>
    randomRequest(id, { cacheSalt: `${id % given.salts}` }),
  )
  const { texts, stats } = serve(requests, given.maxNumSeqs)
  const expectedOf = new Map<string, ReturnType<typeof alone>>()
  let ties = 0
  for (const { id, promptTokens } of requests) {
    const expected = expectedOf.get(`${promptTokens}`) ?? alone(promptTokens)
    expectedOf.set(`${promptTokens}`, expected)
    const text = texts.get(id) ?? ''
    if (!isSame(text, expected)) expect({ id, text }).toEqual({ id, text: expected.text })
    if (text !== expected.text) ties++
  }
  // One in a hundred.
  expect(ties).toBeLessThanOrEqual(1)
  expect({
    running: stats.running,
    waiting: stats.waiting,
    generatedTokens: stats.generatedTokens,
    preempts: stats.preemptions > 5,
    hits: stats.prefixCacheHits > 0,
  }).toEqual({
    running: 0,
    waiting: 0,
    generatedTokens: requests.length * maxTokens,
    preempts: true,
    hits: given.hits,
  })
})
