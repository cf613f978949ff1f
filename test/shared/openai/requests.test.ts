import { describe, expect, test } from 'vitest'
import { InvalidRequest } from '../../../shared/errors.ts'
import { parseChatRequest } from '../../../shared/openai/chat.ts'
import { parseCompletionRequest } from '../../../shared/openai/completion.ts'

const messages = [{ role: 'user', content: 'hi' }]

const refusal = (parse: () => unknown) => {
  try {
    parse()
  } catch (error) {
    if (error instanceof InvalidRequest) return { param: error.param, message: error.message }
    throw error
  }
  throw new Error('it was accepted')
}

describe('parseChatRequest', () => {
  test('takes what the official clients send, nulls as "not given"', () => {
    const body = {
      model: 'm',
      messages: [
        { role: 'developer', content: 'be brief' },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'a' },
            { type: 'text', text: 'b' },
          ],
        },
      ],
      temperature: 0.5,
      top_p: null,
      max_tokens: 7,
      max_completion_tokens: 9,
      stop: 'END',
      seed: 3,
      n: 1,
      frequency_penalty: 0,
      logit_bias: {},
      tools: [],
      response_format: { type: 'text' },
      user: 'someone',
      stream: true,
      stream_options: { include_usage: true },
    }
    expect(parseChatRequest(body)).toEqual({
      model: 'm',
      messages: [
        { role: 'system', content: 'be brief' },
        { role: 'user', content: 'a\nb' },
      ],
      maxTokens: 9,
      temperature: 0.5,
      topP: undefined,
      topK: undefined,
      seed: 3,
      stop: ['END'],
      ignoreEos: false,
      priority: 0,
      stream: true,
      includeUsage: true,
    })
  })

  test.each([
    [{ messages }, 'model'],
    [{ model: 5, messages }, 'model'],
    [{ model: 'm' }, 'messages'],
    [{ model: 'm', messages: [] }, 'messages'],
    [{ model: 'm', messages: ['hi'] }, 'messages[0]'],
    [{ model: 'm', messages: [{ role: 'robot', content: 'x' }] }, 'messages[0].role'],
    [{ model: 'm', messages: [{ role: 'user' }] }, 'messages[0].content'],
    [
      { model: 'm', messages: [{ role: 'user', content: [{ type: 'image_url' }] }] },
      'messages[0].content',
    ],
    [{ model: 'm', messages: [{ role: 5, content: 'x' }] }, 'messages[0].role'],
    [{ model: 'm', messages: [{ role: 'tool', content: 'x' }] }, 'messages[0].role'],
    [
      {
        model: 'm',
        messages: [...messages, { role: 'assistant', content: '', tool_calls: [{ id: 'c' }] }],
      },
      'messages[1].tool_calls',
    ],
    [{ model: 'm', messages, min_tokens: 5 }, 'min_tokens'],
    [{ model: 'm', messages, stop_token_ids: [5] }, 'stop_token_ids'],
    [{ model: 'm', messages, temperature: 3 }, 'temperature'],
    [{ model: 'm', messages, temperature: '1' }, 'temperature'],
    [{ model: 'm', messages, top_p: -0.1 }, 'top_p'],
    [{ model: 'm', messages, max_tokens: 0 }, 'max_tokens'],
    [{ model: 'm', messages, max_tokens: 1.5 }, 'max_tokens'],
    [{ model: 'm', messages, stop: [''] }, 'stop'],
    [{ model: 'm', messages, stop: [1] }, 'stop'],
    [{ model: 'm', messages, seed: 0.5 }, 'seed'],
    [{ model: 'm', messages, stream: 'yes' }, 'stream'],
    [{ model: 'm', messages, stream_options: { include_usage: true } }, 'stream_options'],
    [{ model: 'm', messages, n: 2 }, 'n'],
    [{ model: 'm', messages, logprobs: true }, 'logprobs'],
    [{ model: 'm', messages, tools: [{ type: 'function' }] }, 'tools'],
    [{ model: 'm', messages, presence_penalty: 1 }, 'presence_penalty'],
    [{ model: 'm', messages, response_format: { type: 'json_object' } }, 'response_format'],
  ])('refuses %j and names %s', (body, param) => {
    const refused = refusal(() => parseChatRequest(body))
    expect(refused.param).toBe(param)
    expect(refused.message).toContain(`'${param}'`)
  })

  test.each([[null], ['text'], [[1]], [5]])('refuses the body %j', (body) => {
    expect(refusal(() => parseChatRequest(body)).message).toBe(
      'The request body must be a JSON object.',
    )
  })
})

describe('parseCompletionRequest', () => {
  test.each([
    ['text', 'text'],
    [['one'], 'one'],
    [
      [1, 2, 3],
      [1, 2, 3],
    ],
    [[[4, 5]], [4, 5]],
  ])('reads the prompt %j', (prompt, expected) => {
    const request = parseCompletionRequest({ model: 'm', prompt })
    expect({ prompt: request.prompt, maxTokens: request.maxTokens }).toEqual({
      prompt: expected,
      maxTokens: 16,
    })
  })

  test('a prompt nested without end is refused like any other', () => {
    const prompt: unknown = JSON.parse('['.repeat(50_000) + ']'.repeat(50_000))
    expect(refusal(() => parseCompletionRequest({ model: 'm', prompt })).param).toBe('prompt')
  })

  test.each([[undefined], [[]], [['a', 'b']], [[['a']]], [[1.5]], [{}], [5]])(
    'refuses the prompt %j',
    (prompt) => {
      expect(refusal(() => parseCompletionRequest({ model: 'm', prompt })).param).toBe('prompt')
    },
  )
})
