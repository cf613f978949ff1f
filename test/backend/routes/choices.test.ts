import { describe, expect, onTestFinished, test } from 'vitest'
import type { GenerationEnd, TokenLogprob } from '../../../backend/engine/generation.ts'
import { GenerationStream } from '../../../backend/engine/generation-stream.ts'
import { Choices } from '../../../backend/routes/choices.ts'
import type { Usage } from '../../../shared/openai/usage.ts'
import { ScriptedEngine } from '../../support/scripted-engine.ts'
import { appOver, chunksOf, exchangeWith, post, testModel } from './test-app.ts'

const { tokenizer } = testModel

/** Choice i says `texts[i]`, one event each in turn, and then ends. */
const saying = (texts: readonly (readonly string[])[], end: GenerationEnd = 'stop') => {
  const engine = new ScriptedEngine(() => {
    if (engine.streams.length < texts.length) return
    const longest = Math.max(...texts.map(({ length }) => length))
    for (let at = 0; at <= longest; at++) {
      engine.streams.forEach((stream, i) => {
        const text = texts[i]?.[at]
        if (text !== undefined) stream.push({ id: 'x', text, completionTokens: at + 1 })
        if (at !== texts[i]?.length) return
        stream.push({ id: 'x', text: '', completionTokens: at + 1, end })
      })
    }
  })
  return engine
}

const ask = (engine: ScriptedEngine, path: string, body: object, init: RequestInit = {}) => {
  const usages: Promise<Usage | null>[] = []
  const request = post(path, { model: 'tiger', ...body }, init)
  const response = appOver(engine).fetch(request, { exchange: exchangeWith(usages) })
  return { response, usages }
}

describe('n choices', () => {
  const texts = [['a', 'b'], ['c'], ['d', 'e', 'f']]
  const chat = { messages: [{ role: 'user', content: '3+5=?' }], n: 3, seed: 40 }

  test('whole: each at its index, the usage the prompt once and the tokens of all', async () => {
    const engine = saying(texts)
    const { response, usages } = ask(engine, '/v1/chat/completions', chat)
    const body = JSON.parse(await (await response).text())
    expect(
      body.choices.map((choice: { index: number; message: { content: string } }) => [
        choice.index,
        choice.message.content,
      ]),
    ).toEqual([
      [0, 'ab'],
      [1, 'c'],
      [2, 'def'],
    ])
    const promptTokens = engine.requests[0]?.promptTokens.length
    expect(body.usage).toMatchObject({ prompt_tokens: promptTokens, completion_tokens: 9 })
    expect(await usages[0]).toEqual({ promptTokens, completionTokens: 9 })
    expect(engine.requests.map(({ id, sampling }) => [id, sampling.seed])).toEqual([
      ['req_1', 40],
      ['req_1-1', 41],
      ['req_1-2', 42],
    ])
  })

  test('streamed: chunks of all in turn, an opening and a closing for each', async () => {
    const engine = saying(texts)
    const body = { ...chat, stream: true, stream_options: { include_usage: true } }
    const chunks = await chunksOf(await ask(engine, '/v1/chat/completions', body).response)
    const said = chunks.map(({ choices: [choice], usage }) =>
      choice === undefined
        ? usage.completion_tokens
        : `${choice.index} ${choice.delta.role ?? choice.delta.content ?? choice.finish_reason}`,
    )
    const openings = ['0 assistant', '1 assistant', '2 assistant']
    const inTurn = ['0 a', '1 c', '2 d', '0 b', '1 stop', '2 e', '0 stop', '2 f', '2 stop']
    expect(said).toEqual([...openings, ...inTurn, 9])
  })

  test('the client leaving aborts all, and the usage is the sum', async () => {
    const engine = new ScriptedEngine((stream, { id }) => {
      if (id !== 'req_1') stream.push({ id, text: 'x', completionTokens: 1 })
    })
    const controller = new AbortController()
    const { signal } = controller
    const { response, usages } = ask(
      engine,
      '/v1/chat/completions',
      { ...chat, stream: true },
      { signal },
    )
    expect((await response).status).toBe(200)
    controller.abort()
    expect((await usages[0])?.completionTokens).toBe(6)
    expect(engine.aborted).toEqual(['req_1', 'req_1-1', 'req_1-2'])
  })

  test.each([false, true])('one that fails ends all, stream: %s', async (stream) => {
    const engine = new ScriptedEngine((generation, { id }) => {
      if (id === 'req_1-1') generation.fail()
    })
    const { response, usages } = ask(engine, '/v1/chat/completions', { ...chat, stream })
    expect((await response).status).toBe(500)
    expect(engine.aborted).toEqual(['req_1', 'req_1-2'])
    expect((await usages[0])?.completionTokens).toBe(4)
  })

  test('one that fails in mid-stream ends all: no [DONE]', async () => {
    const engine = new ScriptedEngine((generation, { id }) => {
      generation.push({ id, text: 'half', completionTokens: 1 })
      if (id !== 'req_1-1') return
      const timer = setTimeout(() => generation.fail(), 10)
      onTestFinished(() => clearTimeout(timer))
    })
    const { response, usages } = ask(engine, '/v1/chat/completions', { ...chat, stream: true })
    const body = (await response).text()
    await expect(body).rejects.toThrow('The engine failed')
    expect((await usages[0])?.completionTokens).toBe(5)
    expect(engine.aborted).toEqual(['req_1', 'req_1-2'])
  })
})

test('choices whose reading stops early are aborted', async () => {
  const aborted: number[] = []
  const streams = [0, 1].map((index) => {
    const stream: GenerationStream = new GenerationStream(() => {
      aborted.push(index)
      stream.push({ id: 'x', text: '', completionTokens: 1, end: 'abort' })
    })
    return stream
  })
  const choices = new Choices(streams, 7, false)
  streams[1]?.push({ id: 'x', text: 'first', completionTokens: 1 })
  for await (const { index, event } of choices) {
    expect([index, event.text]).toEqual([1, 'first'])
    break
  }
  expect(aborted).toEqual([0, 1])
  expect(await choices.usage).toEqual({ promptTokens: 7, completionTokens: 2 })
})

test('no choice is read before the prompt is scored, and its scores are no news of a choice', async () => {
  const streams = [0, 1].map(() => new GenerationStream(() => {}))
  const choices = new Choices(streams, 3, true)
  const score = (token: number) => ({ token, logprob: -1, top: [], rank: 1 })
  const none = { id: 'x', text: '', completionTokens: 0 }
  const pushes = [
    () => streams[1]?.push({ id: 'x', text: 'b', completionTokens: 1 }),
    () => streams[0]?.push({ ...none, promptLogprobs: [score(5)] }),
    () => streams[1]?.push({ id: 'x', text: '', completionTokens: 2, end: 'stop' }),
    () => streams[0]?.push({ ...none, promptLogprobs: [score(6)], end: 'length' }),
  ]
  const read = (async () => {
    const news: unknown[] = []
    for await (const { index, event } of choices) {
      news.push([index, event.text, event.end, choices.promptLogprobs?.map(({ token }) => token)])
    }
    return news
  })()
  for (const push of pushes) {
    push()
    await Promise.resolve()
  }
  expect(await read).toEqual([
    [1, 'b', undefined, [5, 6]],
    [1, '', 'stop', [5, 6]],
    [0, '', 'length', [5, 6]],
  ])
  expect(await choices.usage).toEqual({ promptTokens: 3, completionTokens: 2 })
})

describe('log-probabilities', () => {
  const logprob = (text: string, top: readonly string[]): TokenLogprob => {
    const token = (one: string) => tokenizer.encode(one, false)[0] ?? 0
    return {
      token: token(text),
      logprob: -1,
      top: top.map((one, i) => ({ token: token(one), logprob: -i })),
    }
  }
  /** Says `8` and the end of the sequence, which has no text. */
  const engine = () =>
    new ScriptedEngine((stream) => {
      const eightOrThree = logprob('8', ['3', '8'])
      stream.push({ id: 'x', text: '8', completionTokens: 1, logprob: eightOrThree })
      const end = { token: 1, logprob: -0.5, top: [] }
      stream.push({ id: 'x', text: '', completionTokens: 2, logprob: end, end: 'stop' })
    })
  const entry = (token: string, value: number) => ({
    token,
    logprob: value,
    bytes: [...new TextEncoder().encode(token)],
  })
  const eight = { ...entry('8', -1), top_logprobs: [entry('3', -0), entry('8', -1)] }
  const end = { ...entry('</s>', -0.5), top_logprobs: [] }
  const json = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

  test('of a chat: one entry for each token counted', async () => {
    const scripted = engine()
    const body = { messages: [{ role: 'user', content: 'x' }], logprobs: true, top_logprobs: 2 }
    const whole = await ask(scripted, '/v1/chat/completions', body).response
    expect(JSON.parse(await whole.text()).choices[0].logprobs).toEqual(
      json({ content: [eight, end], refusal: null }),
    )
    expect(scripted.requests[0]?.logprobs).toBe(2)

    const streamed = ask(engine(), '/v1/chat/completions', { ...body, stream: true })
    const chunks = await chunksOf(await streamed.response)
    const said = chunks.map(({ choices: [choice] }) => [
      choice.delta.content ?? null,
      choice.logprobs,
    ])
    expect(said).toEqual(
      json([
        ['', null],
        ['8', { content: [eight], refusal: null }],
        ['', { content: [end], refusal: null }],
        [null, null],
      ]),
    )
  })

  test('of a text completion, with offsets that go on over the chunks', async () => {
    const body = { prompt: 'x', logprobs: 2 }
    const whole = await ask(engine(), '/v1/completions', body).response
    expect(JSON.parse(await whole.text()).choices[0].logprobs).toEqual({
      tokens: ['8', '</s>'],
      token_logprobs: [-1, -0.5],
      top_logprobs: [{ 3: 0, 8: -1 }, { '</s>': -0.5 }],
      text_offset: [0, 1],
    })
    const streamed = ask(engine(), '/v1/completions', { ...body, stream: true })
    const chunks = await chunksOf(await streamed.response)
    expect(chunks.map(({ choices }) => choices[0].logprobs?.text_offset)).toEqual([
      [0],
      [1],
      undefined,
    ])
  })
})

test.each([
  [{ stop_token_ids: [640] }, 'stop_token_ids'],
  [{ stop_token_ids: [-1] }, 'stop_token_ids'],
  [{ logit_bias: { 640: 1 } }, 'logit_bias'],
  [{ min_tokens: 64, max_tokens: 63 }, 'min_tokens'],
])('%j is refused: the model has no such token, or no room', async (given, param) => {
  const engine = saying([['x']])
  const { response } = ask(engine, '/v1/completions', { prompt: 'x', ...given })
  expect((await response).status).toBe(400)
  expect(JSON.parse(await (await response).text())).toMatchObject({ error: { param } })
  expect(engine.requests).toEqual([])
})

describe('an answer that may not end yet, where every token would end it', () => {
  const everyToken = Array.from({ length: testModel.vocabSize }, (_, id) => id)
  const allButEnd = everyToken.filter((id) => !testModel.endOfSequenceTokens.includes(id))
  const status = async (given: object) => {
    const { response } = ask(saying([['x']]), '/v1/completions', { prompt: 'x', ...given })
    return (await response).status
  }

  test.each([
    ['all stop', everyToken],
    ['all others stop', allButEnd],
  ])('is refused: %s', async (_, ids) => {
    const engine = saying([['x']])
    const body = { prompt: 'x', stop_token_ids: ids, min_tokens: 1 }
    const response = await ask(engine, '/v1/completions', body).response
    expect(response.status).toBe(400)
    expect(JSON.parse(await response.text())).toMatchObject({
      error: { param: 'stop_token_ids', message: expect.stringContaining('every token') },
    })
    expect(engine.requests).toEqual([])
  })

  test('is served with one token left, or if it may end at once', async () => {
    expect(await status({ stop_token_ids: allButEnd.slice(1), min_tokens: 1 })).toBe(200)
    expect(await status({ stop_token_ids: everyToken })).toBe(200)
  })
})
