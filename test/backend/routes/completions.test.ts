import { expect, test } from 'vitest'
import { appWith, post, say } from './test-app.ts'

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
