import { afterAll, beforeAll, expect, test } from 'vitest'
import { bundledModelFolder } from '../../../backend/config.ts'
import type { GenerationEvent, GenerationRequest } from '../../../backend/engine/generation.ts'
import { StepLoop, type DecoderPort } from '../../../backend/engine/step-loop.ts'
import { convertModel } from '../../../backend/conversion/convert.ts'
import type { Manifest } from '../../../backend/graph/manifest.ts'
import { openDecoder } from '../../../backend/sharding/sharded-decoder.ts'
import { loadTokenizer } from '../../../backend/tokenizer/load-tokenizer.ts'
import { generationRequest } from '../../support/generation-request.ts'
import { makeTempFolder, removeFolder } from '../../support/temp-folder.ts'
import { randomSource } from '../graph/random-source.ts'

const folder = makeTempFolder()
const tokenizer = loadTokenizer(bundledModelFolder)
let manifest: Manifest

beforeAll(async () => {
  for (const stages of [1, 2, 3]) {
    const parallel = { tensorParallelSize: 1, pipelineParallelSize: stages }
    manifest = await convertModel(bundledModelFolder, `${folder}/${stages}`, { parallel })
  }
})
afterAll(() => removeFolder(folder))

const open = (stages: number) =>
  openDecoder(`${folder}/${stages}`, { slots: 8, capacity: 256, intraOpNumThreads: 1 })

const loopOver = (decoder: DecoderPort): StepLoop =>
  new StepLoop(decoder, tokenizer, {
    numSlots: 8,
    maxNumSeqs: 6,
    maxNumBatchedTokens: 24,
    vocabSize: manifest.vocabSize,
    endOfSequenceTokens: new Set([1]),
  })

const questions = ['3+5=?', '12-7=?', 'Who are you?', 'Count from 3 to 9.', 'Repeat: tiger lion']

/** Some end by themselves, most by their length; some are drawn. */
const requests: readonly GenerationRequest[] = Array.from({ length: 24 }, (_, i) => {
  const text = `\n\n### Instruction:\n${questions[i % questions.length]}\n\n### Response:\n`
  return generationRequest({
    id: `${i}`,
    promptTokens: tokenizer.encode(text.repeat(1 + (i % 3)), false),
    maxTokens: 3 + ((i * 7) % 30),
    ignoreEos: i % 4 === 0,
    sampling: { temperature: i % 2, seed: i },
  })
})

type Answer = { text: string; tokens: number; end: string | undefined; ends: number }

const collect = (answers: Map<string, Answer>, events: readonly GenerationEvent[]): void => {
  for (const { id, text, completionTokens, end } of events) {
    const answer = answers.get(id) ?? { text: '', tokens: 0, end: undefined, ends: 0 }
    answer.text += text
    answer.tokens = completionTokens
    if (end) [answer.end, answer.ends] = [end, answer.ends + 1]
    answers.set(id, answer)
  }
}

/** Each request by itself, in one rank. */
const alone = (): Map<string, Answer> => {
  const decoder = open(1)
  const answers = new Map<string, Answer>()
  for (const request of requests) {
    const loop = loopOver(decoder)
    loop.add(request)
    while (loop.hasWork) collect(answers, loop.step())
  }
  decoder.close()
  return answers
}

test.each([2, 3])('over %i stages, coming and going, all get the text they get alone', (stages) => {
  const expected = alone()
  const decoder = open(stages)
  const loop = loopOver(decoder)
  const random = randomSource(stages)
  const answers = new Map<string, Answer>()
  const coming = [...requests]
  for (let step = 0; coming.length > 0 || loop.hasWork; step++) {
    // Now and then several at once, and in between long enough for the pipeline to flow.
    if (random() > 0.8 || !loop.hasWork)
      for (const request of coming.splice(0, 2)) loop.add(request)
    collect(answers, loop.step())
    if (step > 5000) throw new Error('it does not end')
  }
  decoder.close()
  expect(Object.fromEntries(answers)).toEqual(Object.fromEntries(expected))
  expect(loop.stats().running).toBe(0)
})

test('who leaves while others are in flight ends once, and disturbs nobody', () => {
  const expected = alone()
  const decoder = open(2)
  const loop = loopOver(decoder)
  const answers = new Map<string, Answer>()
  for (const request of requests.slice(0, 6)) loop.add(request)
  const leaving = ['1', '4']
  for (let step = 0; loop.hasWork; step++) {
    if (step === 9) for (const id of leaving) loop.abort(id)
    collect(answers, loop.step())
  }
  decoder.close()
  for (const [id, answer] of answers) {
    expect(answer.ends).toBe(1)
    if (leaving.includes(id)) expect(expected.get(id)?.text.startsWith(answer.text)).toBe(true)
    else expect(answer).toEqual(expected.get(id))
  }
  expect(answers.size).toBe(6)
})

test('nothing is computed beside decodes in flight, and a close waits for them', () => {
  const decoder = open(2)
  if (!('startDecode' in decoder)) throw new Error('it has no stages')
  decoder.prefill(0, 0, [5, 6])
  decoder.prefill(1, 0, [7])
  decoder.startDecode(0, [3], [2])
  decoder.startDecode(1, [4], [1])
  expect(() => decoder.prefill(2, 0, [1])).toThrow('decodes are in flight')
  const first = Float32Array.from(decoder.finishDecode())
  const logits = decoder.finishDecode()
  const second = Float32Array.from(logits)
  expect(() => decoder.finishDecode()).toThrow('no decode is in flight')
  expect(first).toEqual(Float32Array.from(decoder.decode(0, [3], [2])))
  logits.fill(0)
  decoder.startDecode(1, [4], [1])
  decoder.close()
  expect(Float32Array.from(logits)).toEqual(second)
  expect(() => decoder.finishDecode()).toThrow('this decoder is closed')
  expect(() => decoder.startDecode(0, [3], [2])).toThrow('this decoder is closed')
})
