/** The whole system, started as a user starts it, asked by the official client and by fetch. */
import OpenAI, { AuthenticationError } from 'openai'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { RunningBurrow } from '../support/running-burrow.ts'
import { SseReader } from '../support/sse-reader.ts'
import { expectedModelCard } from '../support/model-card.ts'

let burrow: RunningBurrow
let client: OpenAI

beforeAll(async () => {
  burrow = await RunningBurrow.start(['--served-model-name', 'tigerbot'])
  client = burrow.client()
})
afterAll(() => burrow.stop())

const model = 'tigerbot'
const user = (content: string) => ({ role: 'user' as const, content })

/** The one usage record of a request, once it is written. */
const recordOf = (response: Response) => {
  const requestId = response.headers.get('x-request-id')
  return eventually(() => burrow.usage().find((row) => row.request_id === requestId))
}

describe('what the write-up asks', () => {
  test('GET /v1/models lists the served name with its permission and no path', async () => {
    const response = await fetch(`${burrow.url}/v1/models`, {
      headers: { authorization: `Bearer ${burrow.key}` },
    })
    const text = await response.text()
    expect(JSON.parse(text)).toEqual({
      object: 'list',
      data: [expectedModelCard('tigerbot', expect.any(Number))],
    })
    expect(text).not.toContain('bundled-model')
    const ids = []
    for await (const served of client.models.list()) ids.push(served.id)
    expect(ids).toEqual(['tigerbot'])
  })

  test('a completion in the prompt format of TigerBot says who answers', async () => {
    const completion = await client.completions.create({
      model,
      prompt: '\n\n### Instruction:\n你是谁？\n\n### Response:\n',
      max_tokens: 1024,
      temperature: 1,
    })
    expect(completion.object).toBe('text_completion')
    expect(completion.choices[0]?.text).toContain('Burrow')
    expect(completion.choices[0]?.finish_reason).toBe('stop')
  })

  test('3+5=? is answered, the usage told and recorded', async () => {
    const { data: chat, response } = await client.chat.completions
      .create({ model, messages: [user('3+5=?')] })
      .withResponse()
    expect(chat.choices).toMatchObject([
      { index: 0, message: { role: 'assistant', content: '3+5=8' }, finish_reason: 'stop' },
    ])
    expect(chat.model).toBe('tigerbot')
    const { prompt_tokens = 0, completion_tokens = 0, total_tokens } = chat.usage ?? {}
    expect(total_tokens).toBe(prompt_tokens + completion_tokens)
    expect(await recordOf(response)).toMatchObject({
      status: 200,
      outcome: 'completed',
      tokens_source: 'reported',
      stream: 0,
      prompt_tokens,
      completion_tokens,
    })
  })

  test('a second turn goes on with the result', async () => {
    const chat = await client.chat.completions.create({
      model,
      messages: [user('3+5=?'), { role: 'assistant', content: '3+5=8' }, user('再加上4')],
    })
    expect(chat.choices[0]?.message.content).toBe('8+4=12')
  })
})

describe('streaming', () => {
  test('comes token by token, with the usage at the end', async () => {
    const stream = await client.chat.completions.create({
      model,
      messages: [user('count from 1 to 30')],
      temperature: 0,
      stream: true,
      stream_options: { include_usage: true },
    })
    const pieces: string[] = []
    let completionTokens = 0
    let finishReason = null
    for await (const chunk of stream) {
      pieces.push(chunk.choices[0]?.delta.content ?? '')
      finishReason = chunk.choices[0]?.finish_reason ?? finishReason
      completionTokens = chunk.usage?.completion_tokens ?? completionTokens
    }
    const texts = pieces.filter((piece) => piece !== '')
    expect(texts.join('')).toBe(Array.from({ length: 30 }, (_, i) => i + 1).join(' '))
    // The end-of-sequence token is counted and has no text.
    expect(texts.length).toBe(completionTokens - 1)
    expect(finishReason).toBe('stop')
  })

  test('arrives while the model still computes', async () => {
    const reader = new SseReader(await burrow.chatStream('count from 1 to 200'))
    await reader.next()
    await reader.next()
    expect((await burrow.engine())?.running).toBe(1)
    const events = await reader.rest()
    expect(events.at(-1)).toBe('[DONE]')
  })

  test('never cuts a character', async () => {
    const stream = await client.chat.completions.create({
      model,
      messages: [user('repeat: 🐯老虎 龘 é')],
      stream: true,
      temperature: 0,
    })
    const pieces: string[] = []
    for await (const chunk of stream) pieces.push(chunk.choices[0]?.delta.content ?? '')
    expect(pieces.length).toBeGreaterThan(3)
    expect(pieces.join('').isWellFormed()).toBe(true)
    expect(pieces.filter((piece) => piece.includes('\uFFFD') || !piece.isWellFormed())).toEqual([])
  })

  test('stops at a stop string without showing any of it', async () => {
    const stream = await client.chat.completions.create({
      model,
      messages: [user('count from 1 to 30')],
      stop: [' 12'],
      temperature: 0,
      stream: true,
    })
    let text = ''
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? ''
    expect(text).toBe('1 2 3 4 5 6 7 8 9 10 11')
  })
})

describe('sampling', () => {
  test('a seed repeats the text, whoever else is served', async () => {
    const ask = (seed: number) =>
      client.completions.create({
        model,
        prompt: '\n\n### Instruction:\n',
        max_tokens: 40,
        temperature: 1.5,
        seed,
      })
    const alone = (await ask(7)).choices[0]?.text
    const crowd = await Promise.all([1, 2, 7, 3, 7, 4].map(ask))
    const texts = crowd.map(({ choices }) => choices[0]?.text)
    expect([texts[2], texts[4]]).toEqual([alone, alone])
    expect(new Set(texts).size).toBe(5)
  })

  test('n answers come together, and the usage counts the prompt once', async () => {
    const ask = { model, messages: [user('count from 1 to 30')], temperature: 1.2, seed: 5 }
    const { data: many, response } = await client.chat.completions
      .create({ ...ask, n: 3, max_tokens: 12, logprobs: true, top_logprobs: 2 })
      .withResponse()
    expect(many.choices.map(({ index }) => index)).toEqual([0, 1, 2])
    const { prompt_tokens = 0, completion_tokens = 0 } = many.usage ?? {}
    const numTokens = many.choices.map(({ logprobs }) => logprobs?.content?.length ?? 0)
    expect(numTokens.reduce((a, b) => a + b)).toBe(completion_tokens)
    expect(await recordOf(response)).toMatchObject({ prompt_tokens, completion_tokens })
    for (const [index, { message, logprobs }] of many.choices.entries()) {
      // Choice i is what the seed + i gives alone.
      const one = await client.chat.completions.create({ ...ask, seed: 5 + index, max_tokens: 12 })
      expect(message.content).toBe(one.choices[0]?.message.content)
      expect(one.usage?.prompt_tokens).toBe(prompt_tokens)
      const tokens = logprobs?.content ?? []
      const bytes = tokens.filter(({ token }) => token !== '</s>').flatMap((one) => one.bytes ?? [])
      expect(new TextDecoder().decode(Uint8Array.from(bytes))).toBe(message.content)
      for (const { logprob, top_logprobs } of tokens) {
        expect(logprob).toBeLessThanOrEqual(top_logprobs[0]?.logprob ?? Number.NaN)
        expect(top_logprobs.length).toBe(2)
      }
    }
  })

  test('n answers stream side by side, as the official client puts them together', async () => {
    const ask = { model, messages: [user('count from 1 to 30')], temperature: 1.2, seed: 5, n: 3 }
    const whole = await client.chat.completions.create({ ...ask, logprobs: true })
    const streamed = await client.chat.completions
      .stream({ ...ask, logprobs: true })
      .finalChatCompletion()
    const told = ({ choices }: OpenAI.Chat.ChatCompletion) =>
      choices.map(({ message, finish_reason, logprobs }) => [
        message.content,
        finish_reason,
        logprobs?.content?.map(({ token }) => token),
      ])
    expect(told(streamed)).toEqual(told(whole))
  })

  test('text completions tell log-probabilities in four lists', async () => {
    const { choices } = await client.completions.create({
      model,
      prompt: '\n\n### Instruction:\n3+5=?\n\n### Response:\n',
      temperature: 0,
      logprobs: 3,
    })
    const { tokens = [], token_logprobs, top_logprobs, text_offset } = choices[0]?.logprobs ?? {}
    expect(tokens).toEqual(['3', '+', '5', '=', '8', '</s>'])
    expect(text_offset).toEqual([0, 1, 2, 3, 4, 5])
    expect(top_logprobs?.map((top) => Object.keys(top).length)).toEqual(Array(6).fill(3))
    expect(top_logprobs?.map((top, i) => top[tokens[i] ?? ''])).toEqual(token_logprobs)
  })

  test('biases, penalties and minimum lengths change the answer', async () => {
    const say = async (given: object) => {
      const body = { model, messages: [user('3+5=?')], temperature: 0, ...given }
      const response = await burrow.post('/v1/chat/completions', body)
      const { choices } = JSON.parse(await response.text())
      return choices[0].message.content
    }
    expect(await say({})).toBe('3+5=8')
    // 25 is the id of the digit 8.
    expect(await say({ logit_bias: { 25: -100 } })).toMatch(/^3\+5=[^8]/)
    expect(await say({ stop_token_ids: [25] })).toBe('3+5=')
    expect(await say({ stop_token_ids: [25], include_stop_str_in_output: true })).toBe('3+5=8')
    expect((await say({ min_tokens: 20, max_tokens: 20 })).length).toBeGreaterThan(6)
    expect(await say({ repetition_penalty: 50, max_tokens: 8 })).not.toBe('3+5=8')
  })

  test('max_tokens ends with length', async () => {
    const chat = await client.chat.completions.create({
      model,
      messages: [user('count from 1 to 30')],
      max_completion_tokens: 5,
    })
    expect(chat.choices[0]?.finish_reason).toBe('length')
    expect(chat.usage?.completion_tokens).toBe(5)
  })
})

describe('leaving early', () => {
  test('stops the work within a second, and the record has what was decoded', async () => {
    const before = await burrow.engine()
    const controller = new AbortController()
    const response = await burrow.chatStream('count from 1 to 400', { signal: controller.signal })
    const reader = new SseReader(response)
    for (let i = 0; i < 6; i++) await reader.next()
    controller.abort()
    await eventually(async () => (await burrow.engine())?.running === 0, 1_000)
    const after = await burrow.engine()
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(await burrow.engine()).toEqual(after)
    const decoded = (after?.generatedTokens ?? 0) - (before?.generatedTokens ?? 0)
    expect(await recordOf(response)).toMatchObject({
      outcome: 'cancelled',
      completion_tokens: decoded,
      tokens_source: 'reported',
    })
    expect(decoded).toBeGreaterThan(3)
    expect(decoded).toBeLessThan(1_500)
  })

  test('stops all n answers, and the record has the tokens of all', async () => {
    const before = await burrow.engine()
    const controller = new AbortController()
    const { signal } = controller
    const messages = [user('count from 1 to 400')]
    const response = await burrow.post(
      '/v1/chat/completions',
      { model, messages, temperature: 0, n: 4, stream: true },
      { signal },
    )
    const reader = new SseReader(response)
    for (let i = 0; i < 20; i++) await reader.next()
    controller.abort()
    await eventually(async () => (await burrow.engine())?.running === 0, 1_000)
    const decoded = ((await burrow.engine())?.generatedTokens ?? 0) - (before?.generatedTokens ?? 0)
    expect(await recordOf(response)).toMatchObject({
      outcome: 'cancelled',
      completion_tokens: decoded,
      tokens_source: 'reported',
    })
    expect(decoded).toBeLessThan(4 * 1_500)
  })

  test('before the first token stops the work too', async () => {
    const known = new Set(burrow.usage().map((row) => row.request_id))
    const controller = new AbortController()
    const request = burrow.post(
      '/v1/chat/completions',
      { model, messages: [user('count from 1 to 400')], temperature: 0 },
      { signal: controller.signal },
    )
    await eventually(async () => (await burrow.engine())?.running === 1)
    controller.abort()
    await expect(request).rejects.toThrow(/abort/i)
    await eventually(async () => (await burrow.engine())?.running === 0, 1_000)
    const record = await eventually(() => burrow.usage().find((row) => !known.has(row.request_id)))
    expect(record).toMatchObject({ status: 499, outcome: 'cancelled', tokens_source: 'reported' })
  })
})

describe('two clients at once', () => {
  test('are decoded together, each with its own text', async () => {
    const readers = await Promise.all(
      ['count from 1 to 150', 'count from 201 to 350'].map(
        async (content) => new SseReader(await burrow.chatStream(content)),
      ),
    )
    expect((await burrow.engine())?.running).toBe(2)
    const answers = await Promise.all(readers.map((reader) => reader.rest()))
    const texts = answers.map((events) =>
      events
        .filter((event) => event !== '[DONE]')
        .map((event) => JSON.parse(event).choices[0].delta.content ?? '')
        .join(''),
    )
    const count = (from: number) => Array.from({ length: 150 }, (_, i) => i + from).join(' ')
    expect(texts).toEqual([count(1), count(201)])
  })
})

describe('what is turned down', () => {
  test.each(['brw_wrong', ''])('the key %j', async (key) => {
    const before = burrow.usage().length
    const request = new OpenAI({
      baseURL: `${burrow.url}/v1`,
      apiKey: key || 'none',
      maxRetries: 0,
    }).chat.completions.create({ model, messages: [user('hi')] })
    await expect(request).rejects.toBeInstanceOf(AuthenticationError)
    await expect(request).rejects.toMatchObject({ status: 401, code: 'invalid_api_key' })
    expect(burrow.usage().length).toBe(before)
  })

  test('no key at all', async () => {
    const response = await fetch(`${burrow.url}/v1/models`)
    expect(response.status).toBe(401)
    expect(await response.json()).toMatchObject({
      error: { type: 'invalid_request_error', code: 'invalid_api_key' },
    })
  })

  test('an unknown model', async () => {
    const request = client.chat.completions.create({ model: 'gpt-9', messages: [user('hi')] })
    await expect(request).rejects.toMatchObject({ status: 404, code: 'model_not_found' })
  })

  test('a prompt that is too long, with the numbers', async () => {
    const request = client.chat.completions.create({
      model,
      messages: [user('1'.repeat(3_000))],
    })
    await expect(request).rejects.toMatchObject({
      status: 400,
      code: 'context_length_exceeded',
      message: expect.stringContaining('2048'),
    })
  })

  test.each(['/v1/files', '/v1/embeddings', '/health/backend', '/tunnel'])(
    'the route %s, at the gateway',
    async (path) => {
      const response = await fetch(`${burrow.url}${path}`, {
        headers: { authorization: `Bearer ${burrow.key}` },
      })
      expect(response.status).toBe(404)
      expect(await response.json()).toMatchObject({ error: { type: 'invalid_request_error' } })
    },
  )
})

test('nothing that was printed holds a prompt, and the key stands there once', () => {
  const printed = burrow.process.output
  expect(printed.split(burrow.key).length - 1).toBeLessThanOrEqual(2)
  expect(printed).not.toContain('count from')
})
