import type OpenAI from 'openai'
import { expect, test } from 'vitest'
import {
  chatLogprobs,
  completionLogprobs,
  type AnswerLogprob,
} from '../../../shared/openai/logprobs.ts'
import type { CompletionLogprobs } from './client-types.ts'

const named = (bytes: readonly number[], logprob: number) => ({
  bytes: Uint8Array.from(bytes),
  logprob,
})

/** ' a', then half of a character that the model held impossible. */
const tokens: readonly AnswerLogprob[] = [
  {
    ...named([0x20, 0x61], -0.5),
    top: [named([0x62], -0.25), named([0xe4, 0xbd], -2)],
    textOffset: 0,
  },
  { ...named([0xe4, 0xbd], Number.NEGATIVE_INFINITY), top: [named([0x62], 0)], textOffset: 2 },
]

// The compiler holds each body against the official client's type.
const chat: OpenAI.Chat.ChatCompletion.Choice.Logprobs = chatLogprobs(tokens)
const completion: CompletionLogprobs = completionLogprobs(tokens)

test('in chats: text and bytes of each token and of the likeliest, and a floor', () => {
  const b = { token: 'b', bytes: [0x62] }
  const half = { token: '\\xe4\\xbd', bytes: [0xe4, 0xbd] }
  expect(chat).toEqual({
    content: [
      {
        token: ' a',
        logprob: -0.5,
        bytes: [0x20, 0x61],
        top_logprobs: [
          { ...b, logprob: -0.25 },
          { ...half, logprob: -2 },
        ],
      },
      { ...half, logprob: -9999, top_logprobs: [{ ...b, logprob: 0 }] },
    ],
    refusal: null,
  })
})

test('in text completions: four lists, the sampled token among the likeliest', () => {
  expect(completion).toEqual({
    tokens: [' a', 'bytes:\\xe4\\xbd'],
    token_logprobs: [-0.5, -9999],
    top_logprobs: [
      { b: -0.25, 'bytes:\\xe4\\xbd': -2, ' a': -0.5 },
      { b: 0, 'bytes:\\xe4\\xbd': -9999 },
    ],
    text_offset: [0, 2],
  })
})
