/** The whole system, started as a user starts it, asked by the official client and by fetch. */
import type OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { RunningBurrow } from '../support/running-burrow.ts'
import { SseReader } from '../support/sse-reader.ts'
import { expectedModelCard } from '../support/model-card.ts'
import { model, recordOf, user } from './asking.ts'
import { leavingTests } from './up-leaving.ts'
import { refusalTests } from './up-refusals.ts'
import { samplingTests } from './up-sampling.ts'

let burrow: RunningBurrow
let client: OpenAI

beforeAll(async () => {
  burrow = await RunningBurrow.start(['--served-model-name', model])
  client = burrow.client()
})
afterAll(() => burrow.stop())

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
    expect(await recordOf(burrow, response)).toMatchObject({
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

samplingTests(() => burrow)
leavingTests(() => burrow)
refusalTests(() => burrow)

test('nothing that was printed holds a prompt, and the key stands there once', () => {
  const printed = burrow.process.output
  expect(printed.split(burrow.key).length - 1).toBeLessThanOrEqual(2)
  expect(printed).not.toContain('count from')
})
