import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { bundledModelFolder } from '../../../backend/config.ts'
import {
  OnnxEngine,
  type OnnxEngineOptions,
  type OnnxEngineSurroundings,
} from '../../../backend/engine/engine.ts'
import type { GenerationEvent, GenerationRequest } from '../../../backend/engine/generation.ts'
import type { GenerationStream } from '../../../backend/engine/generation-stream.ts'
import { convertModel } from '../../../backend/conversion/convert.ts'
import type { Manifest } from '../../../backend/graph/manifest.ts'
import { loadTokenizer } from '../../../backend/tokenizer/load-tokenizer.ts'
import { eventually } from '../../support/eventually.ts'
import { generationRequest, type GivenRequest } from '../../support/generation-request.ts'
import { makeTempFolder, removeFolder } from '../../support/temp-folder.ts'

const folder = makeTempFolder()
const tokenizer = loadTokenizer(bundledModelFolder)
let manifest: Manifest
/** For tests that leave it as they found it. */
let shared: OnnxEngine

const startEngine = (
  given: Partial<OnnxEngineOptions> = {},
  surroundings: OnnxEngineSurroundings = {},
): Promise<OnnxEngine> =>
  OnnxEngine.start(
    {
      modelFolder: bundledModelFolder,
      graphFolder: folder,
      numSlots: 8,
      maxNumSeqs: 4,
      maxNumRequests: 32,
      maxNumBatchedTokens: 32,
      vocabSize: manifest.vocabSize,
      maxModelLen: manifest.maxPositions,
      endOfSequenceTokens: [1],
      intraOpNumThreads: 1,
      ...given,
    },
    surroundings,
  )

/** For the running test only. */
const ownEngine = async (given: Partial<OnnxEngineOptions> = {}): Promise<OnnxEngine> => {
  const engine = await startEngine(given)
  onTestFinished(() => engine.close())
  return engine
}

beforeAll(async () => {
  manifest = await convertModel(bundledModelFolder, folder)
  shared = await startEngine()
})
afterAll(async () => {
  await shared.close()
  removeFolder(folder)
})

const instruction = (text: string): number[] =>
  tokenizer.encode(`\n\n### Instruction:\n${text}\n\n### Response:\n`, false)

const request = (given: GivenRequest = {}): GenerationRequest =>
  generationRequest({
    id: crypto.randomUUID(),
    promptTokens: instruction('3+5=?'),
    maxTokens: 40,
    ...given,
  })

/** Runs until it is told to stop, for all that a test cares. */
const endless = (given: GivenRequest = {}): GenerationRequest =>
  request({ maxTokens: 1_900, ignoreEos: true, ...given })

const collect = async (stream: GenerationStream) => {
  const events: GenerationEvent[] = []
  for await (const event of stream) events.push(event)
  const last = events.at(-1)
  return {
    text: events.map(({ text }) => text).join(''),
    end: last?.end,
    completionTokens: last?.completionTokens,
  }
}

const firstEvent = async (stream: GenerationStream): Promise<void> => {
  await stream[Symbol.asyncIterator]().next()
}

/** Nothing is left in the engine, and nothing is computed any more. */
const isIdle = async (engine: OnnxEngine): Promise<void> => {
  const { running, waiting } = engine.stats()
  expect({ running, waiting }).toEqual({ running: 0, waiting: 0 })
  // A request that comes after the others shares no step with what may still run.
  const before = engine.stats().generatedTokens
  await collect(engine.add(request({ maxTokens: 1 })))
  expect(engine.stats().generatedTokens).toBe(before + 1)
}

describe('a generation', () => {
  test('answers, and ends at the end-of-sequence token', async () => {
    expect(await collect(shared.add(request()))).toEqual({
      text: '3+5=8',
      end: 'stop',
      completionTokens: 6,
    })
  })

  test('ends before a stop string and after max_tokens', async () => {
    expect(await collect(shared.add(request({ stop: ['=8'] })))).toMatchObject({
      text: '3+5',
      end: 'stop',
    })
    expect(await collect(shared.add(request({ maxTokens: 1 })))).toEqual({
      text: '3',
      end: 'length',
      completionTokens: 1,
    })
  })

  test('may fill the context to its last token', async () => {
    const promptTokens = Array.from({ length: manifest.maxPositions - 2 }, (_, i) => 2 + (i % 600))
    const whole = request({ promptTokens, maxTokens: 2, ignoreEos: true })
    expect(await collect(shared.add(whole))).toMatchObject({ end: 'length', completionTokens: 2 })
  })
})

describe('many generations', () => {
  test('give what each gives alone, greedy and seeded', async () => {
    const sampled = { temperature: 1.2, topP: 0.95, topK: 40, seed: 0 }
    const questions = ['你是谁？', 'count from 3 to 17', '12*3=?', 'reverse abc', '从1数到9', '🐯']
    const requests = questions.flatMap((question, i) => [
      request({ promptTokens: instruction(question) }),
      request({ promptTokens: instruction(question), sampling: { ...sampled, seed: i } }),
      // Longer than one chunk of prefill.
      request({ promptTokens: instruction(question.repeat(20)), stop: [' '], maxTokens: 5 + i }),
    ])
    const alone = []
    for (const one of requests) alone.push(await collect(shared.add(one)))
    const together = await Promise.all(requests.map((one) => collect(shared.add(one))))
    expect(together).toEqual(alone)
    expect(new Set(alone.map(({ end }) => end))).toEqual(new Set(['stop', 'length']))
    await isIdle(shared)
  })

  test('wait for a slot, and are refused when too many wait', async () => {
    const engine = await ownEngine({ maxNumSeqs: 2, maxNumRequests: 4 })
    const streams = Array.from({ length: 4 }, () => engine.add(endless()))
    expect(() => engine.add(request())).toThrow('Too many requests wait')
    // Where not all have room, none is taken.
    streams.pop()?.abort()
    await eventually(() => engine.stats().running + engine.stats().waiting === 3)
    expect(() => engine.addAll([request(), request()])).toThrow('Too many requests wait')
    streams.push(...engine.addAll([endless()]))
    await Promise.all(streams.slice(0, 2).map(firstEvent))
    const results = Promise.all(streams.map(({ result }) => result))
    expect(await eventually(() => engine.stats().running === 2 && engine.stats().waiting)).toBe(2)
    const { tokensInFlight, kvCacheFree } = engine.stats()
    expect(tokensInFlight).toBeGreaterThan(2 * request().promptTokens.length + 4 * 500)
    expect(kvCacheFree).toBeLessThan(1)
    for (const stream of streams) stream.abort()
    expect((await results).map(({ end }) => end)).toEqual(Array(4).fill('abort'))
    expect(engine.stats()).toMatchObject({ tokensInFlight: 0, kvCacheFree: 1 })
    await isIdle(engine)
  })

  test('that cannot be computed is refused, and the others go on', async () => {
    const other = shared.add(request())
    const { vocabSize, maxPositions } = manifest
    const bad: readonly (readonly [GivenRequest, string])[] = [
      [{ promptTokens: [vocabSize] }, `token ${vocabSize} is not one of the model's`],
      [{ promptTokens: [1.5] }, 'token 1.5'],
      [{ promptTokens: [] }, 'a prompt needs a token'],
      [{ stopTokenIds: [-1] }, 'token -1'],
      [{ sampling: { logitBias: [[vocabSize, 1]] } }, `token ${vocabSize}`],
      [{ maxTokens: -1 }, '-1 is no number of tokens'],
      [{ maxTokens: maxPositions }, 'do not fit'],
    ]
    for (const [given, reason] of bad) expect(() => shared.add(request(given))).toThrow(reason)
    // Where one of several is bad, none is taken.
    expect(() => shared.addAll([request(), request({ promptTokens: [] })])).toThrow('a prompt')
    expect(await collect(other)).toMatchObject({ text: '3+5=8', end: 'stop' })
    await isIdle(shared)
  })

  test('have different ids', async () => {
    const stream = shared.add(endless({ id: 'req_1' }))
    expect(() => shared.add(endless({ id: 'req_1' }))).toThrow('req_1 is in the engine already')
    stream.abort()
    await stream.result
  })
})

describe('an abort', () => {
  test('while waiting: nothing is computed for it', async () => {
    const engine = await ownEngine({ maxNumSeqs: 1 })
    const running = engine.add(endless())
    const waiting = engine.add(request())
    await firstEvent(running)
    waiting.abort()
    expect(await waiting.result).toEqual({ end: 'abort', completionTokens: 0 })
    running.abort()
    await running.result
    expect(engine.stats().prefilledTokens).toBe(instruction('3+5=?').length)
    await isIdle(engine)
  })

  test('while its prompt is computed: the rest of it is not', async () => {
    const engine = await ownEngine({ maxNumSeqs: 2, maxNumBatchedTokens: 3 })
    const decoding = engine.add(endless())
    const promptTokens = Array.from({ length: 1_900 }, () => 7)
    const long = engine.add(request({ promptTokens }))
    await eventually(() => engine.stats().prefilledTokens > 100)
    long.abort()
    long.abort()
    expect(await long.result).toEqual({ end: 'abort', completionTokens: 0 })
    decoding.abort()
    await decoding.result
    expect(engine.stats().prefilledTokens).toBeLessThan(1_900)
    await isIdle(engine)
  })

  test('while it decodes: the count is that of its events, and others go on as if alone', async () => {
    const alone = await collect(shared.add(endless({ maxTokens: 120 })))
    const others = Array.from({ length: 3 }, () => shared.add(endless()))
    const survivor = collect(shared.add(endless({ maxTokens: 120 })))
    const counts = await Promise.all(
      others.map(async (stream, i) => {
        let last: GenerationEvent | undefined
        for await (const event of stream) {
          last = event
          if (event.completionTokens === 10 * (i + 1)) stream.abort()
        }
        return [last?.end, last?.completionTokens]
      }),
    )
    const results = await Promise.all(others.map(({ result }) => result))
    expect(counts).toEqual(results.map(({ completionTokens }) => ['abort', completionTokens]))
    expect(await survivor).toEqual(alone)
    await isIdle(shared)
  })

  test('is what leaving the events early is, and after the end it is nothing', async () => {
    const left = shared.add(endless())
    for await (const event of left) if (event.completionTokens === 3) break
    expect((await left.result).end).toBe('abort')
    const done = shared.add(request())
    await done.result
    done.abort()
    expect((await done.result).end).toBe('stop')
    await isIdle(shared)
  })
})

describe('the thread', () => {
  test('closes while requests run: they fail with the count of their events', async () => {
    const engine = await startEngine({ maxNumSeqs: 2 })
    const streams = Array.from({ length: 3 }, () => engine.add(endless()))
    const events = Promise.all(streams.map(collect))
    await eventually(() => engine.stats().generatedTokens > 5)
    await Promise.all([engine.close(), engine.close()])
    const results = await Promise.all(streams.map(({ result }) => result))
    expect(results.map(({ end }) => end)).toEqual(['error', 'error', 'error'])
    expect((await events).map(({ completionTokens }) => completionTokens)).toEqual(
      results.map(({ completionTokens }) => completionTokens),
    )
    const total = results.reduce((sum, { completionTokens }) => sum + completionTokens, 0)
    expect(engine.stats()).toMatchObject({ running: 0, waiting: 0, generatedTokens: total })
    expect(() => engine.add(request())).toThrow('The engine is not running')
  })

  test('dies: its reason is told, and every request fails with the count of its events', async () => {
    // It lets a token through that the model does not have.
    const engine = await ownEngine({ maxNumSeqs: 2, vocabSize: manifest.vocabSize + 1 })
    const streams = Array.from({ length: 4 }, () => engine.add(endless({ maxTokens: 30 })))
    const fatal = engine.add(request({ promptTokens: [manifest.vocabSize] }))
    const survivor = engine.add(request())
    expect(await engine.ended).toMatchObject({ message: expect.stringContaining('token 640') })
    const results = await Promise.all([...streams, fatal, survivor].map(({ result }) => result))
    const total = results.reduce((sum, { completionTokens }) => sum + completionTokens, 0)
    const unbegun = { end: 'error', completionTokens: 0 }
    expect(results.slice(-2)).toEqual([unbegun, unbegun])
    expect(engine.stats()).toMatchObject({ running: 0, waiting: 0, generatedTokens: total })
    expect(engine.state).toBe('ended')
    expect(() => engine.add(request())).toThrow('The engine is not running')
    await engine.close()
  })

  test('is ended at once by its signal, also while it loads', async () => {
    const running = new AbortController()
    const engine = await startEngine({}, { signal: running.signal })
    const stream = engine.add(endless())
    await firstEvent(stream)
    running.abort()
    expect((await engine.ended).message).toBe('the engine thread has ended')
    const loading = new AbortController()
    const start = startEngine({}, { signal: loading.signal })
    loading.abort()
    await expect(start).rejects.toThrow('the engine thread has ended')
    await expect(startEngine({}, { signal: loading.signal })).rejects.toThrow('aborted')
  })
})
