import { describe, expect, test } from 'vitest'
import { createBackendApp } from '../../../backend/app.ts'
import { bundledModelFolder } from '../../../backend/config.ts'
import type { GenerationStream } from '../../../backend/engine/generation-stream.ts'
import type { LoadedModel } from '../../../backend/served-model.ts'
import { ChatTemplate } from '../../../backend/tokenizer/chat-template.ts'
import { loadTokenizer } from '../../../backend/tokenizer/load-tokenizer.ts'
import { silentLog } from '../../support/silent-log.ts'
import type { Usage } from '../../../shared/openai/usage.ts'
import { ScriptedEngine } from '../../support/scripted-engine.ts'

const model: LoadedModel = {
  name: 'tiger',
  created: 1_700_000_000,
  maxModelLen: 64,
  vocabSize: 640,
  tokenizer: loadTokenizer(bundledModelFolder),
  chatTemplate: ChatTemplate.load(bundledModelFolder),
  samplingDefaults: { temperature: 0.3, topP: 0.9, topK: 0, minP: 0, repetitionPenalty: 1 },
}

const appWith = (onAdd: (stream: GenerationStream) => void, given: Partial<LoadedModel> = {}) => {
  const engine = new ScriptedEngine(onAdd)
  return {
    engine,
    app: createBackendApp({ engine, model: { ...model, ...given }, log: silentLog }),
  }
}

const say =
  (...texts: string[]) =>
  (stream: GenerationStream) => {
    texts.forEach((text, i) => stream.push({ id: 'x', text, completionTokens: i + 1 }))
    stream.push({ id: 'x', text: '', completionTokens: texts.length + 1, end: 'stop' })
  }

const post = (path: string, body: unknown, init: RequestInit = {}) =>
  new Request(`http://backend${path}`, { method: 'POST', body: JSON.stringify(body), ...init })

const chatBody = { model: 'tiger', messages: [{ role: 'user', content: '3+5=?' }] }

describe('chat completions', () => {
  test('a whole answer has the text, the reason and the usage', async () => {
    const { app } = appWith(say('3+5', '=8'))
    const response = await app.request(post('/v1/chat/completions', chatBody))
    const body = await response.json()
    const promptTokens = model.tokenizer.encode(
      '\n\n### Instruction:\n3+5=?\n\n### Response:\n',
      false,
    ).length
    expect(body).toEqual({
      id: expect.stringMatching(/^chatcmpl-/),
      object: 'chat.completion',
      created: expect.any(Number),
      model: 'tiger',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: '3+5=8', refusal: null },
          logprobs: null,
          finish_reason: 'stop',
        },
      ],
      usage: {
        prompt_tokens: promptTokens,
        completion_tokens: 3,
        total_tokens: promptTokens + 3,
      },
    })
  })

  test('a stream opens with the role, closes with the reason, the usage and [DONE]', async () => {
    const { app } = appWith(say('3+5', '', '=8'))
    const response = await app.request(
      post('/v1/chat/completions', {
        ...chatBody,
        stream: true,
        stream_options: { include_usage: true },
      }),
    )
    const events = (await response.text()).split('\n\n')
    expect(events.slice(-2)).toEqual(['data: [DONE]', ''])
    const chunks = events.slice(0, -2).map((event) => JSON.parse(event.slice('data: '.length)))
    expect(
      chunks.map(({ choices, usage }) => [
        choices[0]?.delta,
        choices[0]?.finish_reason,
        usage?.completion_tokens,
      ]),
    ).toEqual([
      [{ role: 'assistant', content: '' }, null, undefined],
      [{ content: '3+5' }, null, undefined],
      [{ content: '=8' }, null, undefined],
      [{}, 'stop', undefined],
      [undefined, undefined, 4],
    ])
    expect(
      new Set(chunks.map(({ id, created, model: name }) => `${id} ${created} ${name}`)).size,
    ).toBe(1)
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
  })

  test('an engine that fails before the first token answers 500 in the shape of OpenAI', async () => {
    const { app } = appWith((stream) => stream.fail())
    for (const stream of [false, true]) {
      const response = await app.request(post('/v1/chat/completions', { ...chatBody, stream }))
      expect({ status: response.status, body: await response.json() }).toEqual({
        status: 500,
        body: {
          error: {
            message: 'The engine failed while it answered.',
            type: 'server_error',
            param: null,
            code: 'engine_failed',
          },
        },
      })
    }
  })

  test('an engine that fails in mid-stream errors the body: no [DONE]', async () => {
    const { app } = appWith((stream) => {
      stream.push({ id: 'x', text: 'half', completionTokens: 1 })
      setTimeout(() => stream.fail(), 10)
    })
    const response = await app.request(post('/v1/chat/completions', { ...chatBody, stream: true }))
    let text = ''
    const read = async () => {
      for await (const chunk of response.body ?? []) text += new TextDecoder().decode(chunk)
    }
    await expect(read()).rejects.toThrow('The engine failed')
    expect(text).toContain('half')
    expect(text).not.toContain('[DONE]')
  })

  test('the client leaving aborts the generation and the usage is the final count', async () => {
    const { app, engine } = appWith((stream) =>
      stream.push({ id: 'x', text: 'first', completionTokens: 1 }),
    )
    const controller = new AbortController()
    const usages: Promise<Usage | null>[] = []
    const exchange = {
      requestId: 'req_1',
      reportUsage: () => {},
      usage: (final: Promise<Usage | null>) => usages.push(final),
    }
    const response = await app.request(
      post('/v1/chat/completions', { ...chatBody, stream: true }, { signal: controller.signal }),
      {},
      { exchange },
    )
    expect(response.status).toBe(200)
    controller.abort()
    expect((await usages[0])?.completionTokens).toBe(2)
    expect(engine.aborted).toEqual(['req_1'])
  })

  test('a request takes the sampling that the model recommends where it says nothing', async () => {
    const { app, engine } = appWith(say('x'))
    await app.request(post('/v1/chat/completions', { ...chatBody, top_p: 0.5, seed: 4 }))
    const request = engine.requests[0]
    expect(request?.sampling).toMatchObject({ temperature: 0.3, topP: 0.5, topK: 0, seed: 4 })
    expect(request?.maxTokens).toBe(64 - (request?.promptTokens.length ?? 0))
  })

  test('a request may give way to others, and is of the tenant that the gateway says', async () => {
    const { app, engine } = appWith(say('x'))
    const headers = { 'x-burrow-tenant': 'key_a' }
    await app.request(post('/v1/chat/completions', { ...chatBody, priority: 3 }, { headers }))
    await app.request(post('/v1/chat/completions', chatBody))
    expect(engine.requests.map(({ priority, cacheSalt }) => [priority, cacheSalt])).toEqual([
      [3, 'key_a'],
      [0, ''],
    ])
    const pushy = await app.request(post('/v1/chat/completions', { ...chatBody, priority: -1 }))
    expect([pushy.status, await pushy.text()]).toEqual([400, expect.stringContaining('priority')])
  })

  test('a base model without a chat template says so', async () => {
    const { app } = appWith(say('x'), { chatTemplate: null })
    const response = await app.request(post('/v1/chat/completions', chatBody))
    expect(response.status).toBe(400)
    expect(await response.text()).toContain('/v1/completions')
  })
})

describe('a prompt', () => {
  const refused = async (path: string, body: object, given: Partial<LoadedModel> = {}) => {
    const { app, engine } = appWith(say('x'), given)
    const response = await app.request(post(path, { model: 'tiger', ...body }))
    expect(engine.requests).toEqual([])
    return { status: response.status, body: await response.json() }
  }

  test('of megabytes is refused at once: nobody else waits for its tokens', async () => {
    const content = '你好世界'.repeat(1_000_000)
    // Tokenising this much would take longer than a test may.
    const chats = await refused('/v1/chat/completions', { messages: [{ role: 'user', content }] })
    const texts = await refused('/v1/completions', { prompt: content })
    const many = await refused('/v1/chat/completions', {
      messages: Array.from({ length: 100_000 }, () => ({ role: 'user', content: '' })),
    })
    for (const [answer, param] of [
      [chats, 'messages'],
      [texts, 'prompt'],
      [many, 'messages'],
    ] as const) {
      expect(answer).toMatchObject({
        status: 400,
        body: { error: { code: 'context_length_exceeded', param } },
      })
    }
    expect(JSON.stringify(many.body)).toContain('your prompt has at least 100000 tokens')
  })

  test('with a token that the tokenizer knows and the model does not is refused', async () => {
    const [token = 0] = model.tokenizer.encode('9', false)
    const small = { vocabSize: token }
    const text = `has the token id ${token}; this model's ids go from 0 to ${token - 1}.`
    expect(await refused('/v1/completions', { prompt: '9' }, small)).toMatchObject({
      status: 400,
      body: { error: { message: `'prompt' ${text}`, param: 'prompt' } },
    })
    const messages = [{ role: 'user', content: '9' }]
    expect((await refused('/v1/chat/completions', { messages }, small)).status).toBe(400)
  })
})

test.each([false, true])(
  'a client gone before the start settles too, stream: %s',
  async (stream) => {
    const usages: Promise<Usage | null>[] = []
    const exchange = {
      requestId: 'req_1',
      reportUsage: () => {},
      usage: (final: Promise<Usage | null>) => usages.push(final),
    }
    const { app, engine } = appWith(() => {})
    const signal = AbortSignal.abort()
    const request = post('/v1/chat/completions', { ...chatBody, stream }, { signal })
    // The body may be gone with the client: then there is nothing to start.
    const response = await app.fetch(request, { exchange })
    expect([400, 499]).toContain(response.status)
    await Promise.all(usages)
    expect(usages.length).toBe(engine.requests.length)
  },
)

describe('completions', () => {
  test('answers in the form of text completions', async () => {
    const { app, engine } = appWith(say('a', 'b'))
    const response = await app.request(
      post('/v1/completions', { model: 'tiger', prompt: [1, 2, 3], max_tokens: 5 }),
    )
    expect(await response.json()).toEqual({
      id: expect.stringMatching(/^cmpl-/),
      object: 'text_completion',
      created: expect.any(Number),
      model: 'tiger',
      choices: [{ index: 0, text: 'ab', logprobs: null, finish_reason: 'stop' }],
      usage: { prompt_tokens: 3, completion_tokens: 3, total_tokens: 6 },
    })
    expect(engine.requests[0]?.promptTokens).toEqual([1, 2, 3])
  })

  test.each([
    [{ prompt: [640] }, 400, null, 'prompt'],
    [{ prompt: '' }, 400, null, 'prompt'],
    [{ prompt: 'x', max_tokens: 64 }, 400, 'context_length_exceeded', 'prompt'],
    [{ prompt: '1'.repeat(64) }, 400, 'context_length_exceeded', 'prompt'],
    [{ prompt: 'x', model: 'other' }, 404, 'model_not_found', 'model'],
  ])('refuses %j with %i', async (given, status, code, param) => {
    const { app } = appWith(say('x'))
    const response = await app.request(post('/v1/completions', { model: 'tiger', ...given }))
    expect(response.status).toBe(status)
    expect(await response.json()).toMatchObject({ error: { code, param } })
  })

  test('a body that is no JSON is refused with the reason', async () => {
    const { app } = appWith(say('x'))
    const response = await app.request(
      new Request('http://backend/v1/completions', { method: 'POST', body: '{' }),
    )
    expect(response.status).toBe(400)
    expect(await response.text()).toContain('no valid JSON')
  })
})

test('the model list has the served name where a path could leak', async () => {
  const { app } = appWith(say('x'))
  const list = await app.request('/v1/models')
  expect(await list.json()).toMatchObject({
    object: 'list',
    data: [{ id: 'tiger', root: 'tiger', parent: null }],
  })
  expect((await app.request('/v1/models/tiger')).status).toBe(200)
  expect((await app.request('/v1/models/other')).status).toBe(404)
})

test('an unlisted route is 404 in the shape of OpenAI', async () => {
  const { app } = appWith(say('x'))
  const response = await app.request('/v1/files')
  expect({ status: response.status, body: await response.json() }).toEqual({
    status: 404,
    body: {
      error: {
        message: 'Unknown route: GET /v1/files.',
        type: 'invalid_request_error',
        param: null,
        code: null,
      },
    },
  })
})
