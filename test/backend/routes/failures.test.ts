import { describe, expect, test } from 'vitest'
import type { Usage } from '../../../shared/openai/usage.ts'
import { appWith, chatBody, exchangeWith, post } from './test-app.ts'

describe('an engine that fails', () => {
  test('before the first token answers 500 in the shape of OpenAI', async () => {
    const { app } = appWith((stream) => stream.fail())
    for (const stream of [false, true]) {
      const response = await app.request(post('/v1/chat/completions', { ...chatBody, stream }))
      const shouldRetry = response.headers.get('x-should-retry')
      expect({ status: response.status, shouldRetry, body: await response.json() }).toEqual({
        status: 500,
        // Tokens may have been computed.
        shouldRetry: 'false',
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

  test('by an error of the program, too, answers 500 that nobody repeats', async () => {
    const { app } = appWith(() => {
      throw new Error('secret path /etc')
    })
    const response = await app.request(post('/v1/chat/completions', chatBody))
    expect([response.status, response.headers.get('x-should-retry')]).toEqual([500, 'false'])
    expect(await response.text()).not.toContain('secret')
  })

  test('in mid-stream errors the body: no [DONE]', async () => {
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
})

describe('the client', () => {
  test('leaving aborts the generation and the usage is the final count', async () => {
    const { app, engine } = appWith((stream) =>
      stream.push({ id: 'x', text: 'first', completionTokens: 1 }),
    )
    const controller = new AbortController()
    const usages: Promise<Usage | null>[] = []
    const response = await app.request(
      post('/v1/chat/completions', { ...chatBody, stream: true }, { signal: controller.signal }),
      {},
      { exchange: exchangeWith(usages) },
    )
    expect(response.status).toBe(200)
    controller.abort()
    expect((await usages[0])?.completionTokens).toBe(2)
    expect(engine.aborted).toEqual(['req_1'])
  })

  test.each([false, true])('gone before the start settles too, stream: %s', async (stream) => {
    const usages: Promise<Usage | null>[] = []
    const { app, engine } = appWith(() => {})
    const signal = AbortSignal.abort()
    const request = post('/v1/chat/completions', { ...chatBody, stream }, { signal })
    // The body may be gone with the client: then there is nothing to start.
    const response = await app.fetch(request, { exchange: exchangeWith(usages) })
    expect([400, 499]).toContain(response.status)
    await Promise.all(usages)
    expect(usages.length).toBe(engine.requests.length)
  })
})
