import { expect, test } from 'vitest'
import { checkPromptFits, newTokenLimit } from '../../../backend/engine/model-limits.ts'
import { InvalidRequest } from '../../../shared/errors.ts'

test.each([
  [10, 54, 54],
  [10, undefined, 54],
  [63, 1, 1],
  [63, undefined, 1],
  [1, 5, 5],
])('a prompt of %i tokens and max_tokens %j give %i new ones of 64', (prompt, asked, given) => {
  expect(newTokenLimit(prompt, asked, 64, 'prompt')).toBe(given)
})

const exceeded = (asked: string) =>
  new InvalidRequest(
    `This model's maximum context length is 64 tokens, but ${asked}. Shorten the prompt or the answer.`,
    'messages',
    'context_length_exceeded',
  )

test.each([
  [63, 2, 'you requested 65 tokens (63 in the prompt, 2 for the answer)'],
  [10, 2 ** 31, 'you requested 2147483658 tokens (10 in the prompt, 2147483648 for the answer)'],
  [64, undefined, 'your prompt has 64 tokens and leaves no room for an answer'],
  [900, undefined, 'your prompt has 900 tokens and leaves no room for an answer'],
])('a prompt of %i tokens and max_tokens %j are too much', (prompt, asked, reason) => {
  expect(() => newTokenLimit(prompt, asked, 64, 'messages')).toThrow(exceeded(reason))
})

test('a prompt that is surely too long needs no count', () => {
  expect(() => checkPromptFits(64, 64, 'messages')).not.toThrow()
  expect(() => checkPromptFits(65, 64, 'messages')).toThrow(
    exceeded('your prompt has at least 65 tokens'),
  )
})

test('an empty prompt is refused', () => {
  expect(() => newTokenLimit(0, 5, 64, 'prompt')).toThrow(
    new InvalidRequest("'prompt' must not be empty.", 'prompt'),
  )
})
