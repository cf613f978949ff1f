import { expect, test } from 'vitest'
import { completionLogprobs } from '../../../shared/openai/logprobs.ts'
import {
  echoedTokens,
  promptLogprobsBody,
  type PromptToken,
} from '../../../shared/openai/prompt-logprobs.ts'

const bytes = (text: string) => new TextEncoder().encode(text)

/** `<s>`, then ' a' in place of the likelier 'b' and half a character, then 'b', which is the likeliest. */
const tokens: readonly PromptToken[] = [
  { token: 1, bytes: bytes('<s>'), score: null },
  {
    token: 7,
    bytes: bytes(' a'),
    score: {
      logprob: Number.NEGATIVE_INFINITY,
      rank: 9,
      top: [
        { token: 8, bytes: bytes('b'), logprob: -0.25 },
        { token: 5, bytes: Uint8Array.of(0xe4, 0xbd), logprob: -2 },
      ],
    },
  },
  {
    token: 8,
    bytes: bytes('b'),
    score: {
      logprob: -0.5,
      rank: 1,
      top: [
        { token: 8, bytes: bytes('b'), logprob: -0.5 },
        { token: 7, bytes: bytes(' a'), logprob: -1 },
      ],
    },
  },
]

test("vLLM's shape: by token id, the prompt's own token and the likeliest, with rank and text", () => {
  const a = { logprob: -9999, rank: 9, decoded_token: ' a' }
  const half = { logprob: -2, rank: 2, decoded_token: '\\xe4\\xbd' }
  const b = (logprob: number) => ({ logprob, rank: 1, decoded_token: 'b' })
  expect(promptLogprobsBody(tokens, 2)).toEqual([
    null,
    { 7: a, 8: b(-0.25), 5: half },
    { 8: b(-0.5), 7: { logprob: -1, rank: 2, decoded_token: ' a' } },
  ])
  expect(promptLogprobsBody(tokens, 1)).toEqual([null, { 7: a, 8: b(-0.25) }, { 8: b(-0.5) }])
  expect(promptLogprobsBody(tokens, 0)).toEqual([null, { 7: a }, { 8: b(-0.5) }])
})

test("OpenAI's shape of an echo: the four lists, null for the first token", () => {
  expect(completionLogprobs(echoedTokens(tokens, [0, 0, 2], 1))).toEqual({
    tokens: ['<s>', ' a', 'b'],
    token_logprobs: [null, -9999, -0.5],
    top_logprobs: [null, { b: -0.25, ' a': -9999 }, { b: -0.5 }],
    text_offset: [0, 0, 2],
  })
})
