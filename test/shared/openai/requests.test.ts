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
      minP: undefined,
      frequencyPenalty: 0,
      presencePenalty: 0,
      repetitionPenalty: undefined,
      logitBias: [],
      seed: 3,
      n: 1,
      promptLogprobs: undefined,
      stop: ['END'],
      stopTokenIds: [],
      includeStop: false,
      minTokens: 0,
      ignoreEos: false,
      priority: 0,
      logprobs: undefined,
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
    [{ model: 'm', messages, min_tokens: 5, max_tokens: 4 }, 'min_tokens'],
    [{ model: 'm', messages, stop_token_ids: 5 }, 'stop_token_ids'],
    [{ model: 'm', messages, stop_token_ids: ['5'] }, 'stop_token_ids'],
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
    [{ model: 'm', messages, n: 0 }, 'n'],
    [{ model: 'm', messages, n: 129 }, 'n'],
    [{ model: 'm', messages, n: 2, best_of: 3 }, 'best_of'],
    [{ model: 'm', messages, logprobs: 5 }, 'logprobs'],
    [{ model: 'm', messages, top_logprobs: 5 }, 'top_logprobs'],
    [{ model: 'm', messages, logprobs: true, top_logprobs: 21 }, 'top_logprobs'],
    [{ model: 'm', messages, logit_bias: { x: 1 } }, 'logit_bias'],
    [{ model: 'm', messages, logit_bias: { 1: 101 } }, 'logit_bias'],
    [{ model: 'm', messages, min_p: 2 }, 'min_p'],
    [{ model: 'm', messages, repetition_penalty: 0 }, 'repetition_penalty'],
    [{ model: 'm', messages, prompt_logprobs: 21 }, 'prompt_logprobs'],
    [{ model: 'm', messages, prompt_logprobs: 1, stream: true }, 'prompt_logprobs'],
    [{ model: 'm', messages, echo: true }, 'echo'],
    [{ model: 'm', messages, skip_special_tokens: false }, 'skip_special_tokens'],
    [{ model: 'm', messages, tools: [{ type: 'function' }] }, 'tools'],
    [{ model: 'm', messages, presence_penalty: 2.5 }, 'presence_penalty'],
    [{ model: 'm', messages, response_format: { type: 'json_object' } }, 'response_format'],
  ])('refuses %j and names %s', (body, param) => {
    const refused = refusal(() => parseChatRequest(body))
    expect(refused.param).toBe(param)
    expect(refused.message).toContain(`'${param}'`)
  })

  test('reads what vLLM serves beyond OpenAI, and log-probabilities', () => {
    const body = {
      model: 'm',
      messages,
      n: 3,
      best_of: 3,
      min_p: 0.1,
      frequency_penalty: -2,
      presence_penalty: 2,
      repetition_penalty: 1.1,
      logit_bias: { 50: -100, 7: 0.5 },
      stop_token_ids: [3, 4],
      min_tokens: 2,
      include_stop_str_in_output: true,
      logprobs: true,
      top_logprobs: 20,
      prompt_logprobs: 0,
      echo: false,
    }
    expect(parseChatRequest(body)).toMatchObject({
      n: 3,
      minP: 0.1,
      frequencyPenalty: -2,
      presencePenalty: 2,
      repetitionPenalty: 1.1,
      logitBias: [
        [7, 0.5],
        [50, -100],
      ],
      stopTokenIds: [3, 4],
      minTokens: 2,
      includeStop: true,
      logprobs: 20,
      promptLogprobs: 0,
    })
    expect(parseChatRequest({ model: 'm', messages, logprobs: true }).logprobs).toBe(0)
    expect(parseChatRequest({ model: 'm', messages, logprobs: false }).logprobs).toBeUndefined()
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

  test.each([
    [{ logprobs: 0 }, 0],
    [{ logprobs: 20 }, 20],
    [{ logprobs: null }, undefined],
    [{}, undefined],
  ])('reads %j as log-probabilities %s', (given, expected) => {
    expect(parseCompletionRequest({ model: 'm', prompt: 'x', ...given }).logprobs).toBe(expected)
  })

  test.each([
    [{ logprobs: 21 }, 'logprobs'],
    [{ logprobs: true }, 'logprobs'],
    [{ top_logprobs: 2 }, 'top_logprobs'],
    [{ min_tokens: 17 }, 'min_tokens'],
    [{ echo: 'yes' }, 'echo'],
    [{ max_tokens: 0 }, 'max_tokens'],
    [{ max_tokens: 0, echo: false }, 'max_tokens'],
    [{ max_tokens: -1, echo: true }, 'max_tokens'],
    [{ max_tokens: 0, echo: true, min_tokens: 1 }, 'min_tokens'],
    [{ prompt_logprobs: 21 }, 'prompt_logprobs'],
    [{ prompt_logprobs: -1 }, 'prompt_logprobs'],
    [{ prompt_logprobs: true }, 'prompt_logprobs'],
    [{ prompt_logprobs: 0, stream: true }, 'prompt_logprobs'],
  ])('refuses %j and names %s', (given, param) => {
    const parse = () => parseCompletionRequest({ model: 'm', prompt: 'x', ...given })
    expect(refusal(parse).param).toBe(param)
  })

  test.each([
    [{}, { echo: false, maxTokens: 16 }],
    [{ echo: null }, { echo: false, maxTokens: 16 }],
    [{ echo: true }, { echo: true, maxTokens: 16 }],
    [
      { echo: true, max_tokens: 0, logprobs: 1 },
      { echo: true, maxTokens: 0, logprobs: 1 },
    ],
    [
      { echo: true, stream: true },
      { echo: true, stream: true },
    ],
    [{ prompt_logprobs: 5 }, { promptLogprobs: 5, logprobs: undefined }],
    [{ prompt_logprobs: null, stream: true }, { promptLogprobs: undefined }],
  ])('reads what is asked of the prompt: %j', (given, expected) => {
    const request = parseCompletionRequest({ model: 'm', prompt: 'x', ...given })
    expect(request).toMatchObject(expected)
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
