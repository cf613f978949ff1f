import type OpenAI from 'openai'
import { expect, test } from 'vitest'
import { chatChunk, chatCompletion, chatUsageChunk } from '../../../shared/openai/chat.ts'
import {
  completionBody,
  completionChunk,
  completionUsageChunk,
} from '../../../shared/openai/completion.ts'
import { modelBody, modelListBody } from '../../../shared/openai/model.ts'
import { expectedModelCard } from '../../support/model-card.ts'
import type { Completion } from './client-types.ts'

const identity = { id: 'x-1', created: 1_700_000_000, model: 'tigerbot' }
const usage = { promptTokens: 2, completionTokens: 3 }
const usageFields = { prompt_tokens: 2, completion_tokens: 3, total_tokens: 5 }

const choice = { text: 'hi', finishReason: 'stop', logprobs: null } as const

// The compiler holds each body against the official client's type.
const chat: OpenAI.Chat.ChatCompletion = chatCompletion(identity, [choice], usage, null)
const chunks: OpenAI.Chat.ChatCompletionChunk[] = [
  chatChunk(identity, { index: 0, delta: { role: 'assistant', content: '' } }, false),
  chatChunk(identity, { index: 1, delta: {}, finishReason: 'length' }, true),
  chatUsageChunk(identity, usage),
]
const completion: Completion = completionBody(
  identity,
  [{ ...choice, promptLogprobs: null }],
  usage,
)
const completionUsage: OpenAI.Completion = completionUsageChunk(identity, usage)
const model: OpenAI.Model = modelBody('tigerbot', 1_700_000_000)

test('a chat completion', () => {
  expect(chat).toEqual({
    ...identity,
    object: 'chat.completion',
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: 'hi', refusal: null },
        logprobs: null,
        finish_reason: 'stop',
      },
    ],
    usage: usageFields,
  })
})

test('the chunks of a chat: usage is null in each but the last, and only when asked for', () => {
  const head = { ...identity, object: 'chat.completion.chunk' }
  const choice = { index: 0, logprobs: null }
  expect(chunks).toEqual([
    {
      ...head,
      choices: [{ ...choice, delta: { role: 'assistant', content: '' }, finish_reason: null }],
    },
    {
      ...head,
      choices: [{ ...choice, index: 1, delta: {}, finish_reason: 'length' }],
      usage: null,
    },
    { ...head, choices: [], usage: usageFields },
  ])
})

test('a completion and its chunks', () => {
  const head = { ...identity, object: 'text_completion' }
  const choice = { index: 0, text: 'hi', logprobs: null }
  expect([
    completion,
    completionChunk(identity, { index: 0, text: 'hi', logprobs: null, finishReason: null }, true),
    completionUsage,
  ]).toEqual([
    { ...head, choices: [{ ...choice, finish_reason: 'stop' }], usage: usageFields },
    { ...head, choices: [{ ...choice, finish_reason: null }], usage: null },
    { ...head, choices: [], usage: usageFields },
  ])
})

test('the model list, field for field', () => {
  expect(modelListBody([modelBody('tigerbot', 1_700_000_000)])).toEqual({
    object: 'list',
    data: [expectedModelCard('tigerbot', 1_700_000_000)],
  })
  expect(model.id).toBe('tigerbot')
})
