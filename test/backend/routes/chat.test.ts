import { expect, test } from 'vitest'
import { appWith, chatBody, chunksOf, post, say, testModel } from './test-app.ts'

test('a whole answer has the text, the reason and the usage', async () => {
  const { app } = appWith(say('3+5', '=8'))
  const response = await app.request(post('/v1/chat/completions', chatBody))
  const body = await response.json()
  const promptTokens = testModel.tokenizer.encode(
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
  const chunks = await chunksOf(response)
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
