import { describe, expect, test } from 'vitest'
import type { LoadedModel } from '../../../backend/served-model.ts'
import { appWith, post, say, testModel } from './test-app.ts'

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

  test('that is long and fits leaves the event loop to others while it is tokenised', async () => {
    const { app, engine } = appWith(say('x'), { maxModelLen: 1_000_000 })
    const prompt = '3+5=? '.repeat(3_000)
    let turns = 0
    let isDone = false
    const turn = (): void => {
      turns++
      if (!isDone) setImmediate(turn)
    }
    const asked = app.request(post('/v1/completions', { model: 'tiger', prompt, max_tokens: 1 }))
    setImmediate(turn)
    expect((await asked).status).toBe(200)
    isDone = true
    expect(turns).toBeGreaterThan(20)
    const [request] = engine.requests
    expect(request?.promptTokens).toEqual(testModel.tokenizer.encode(prompt, true))
  })

  test('with a token that the tokenizer knows and the model does not is refused', async () => {
    const [token = 0] = testModel.tokenizer.encode('9', false)
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
