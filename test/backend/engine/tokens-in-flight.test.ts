import { expect, test } from 'vitest'
import { TokensInFlight } from '../../../backend/engine/tokens-in-flight.ts'
import { generationRequest } from '../../support/generation-request.ts'

const request = (id: string, promptTokens: number, maxTokens: number) =>
  generationRequest({ id, promptTokens: Array.from({ length: promptTokens }, () => 1), maxTokens })

const event = (id: string, completionTokens: number) => ({ id, text: '', completionTokens })

test('a prompt counts until its first token, an answer as far as it can be expected to go on', () => {
  const tokens = new TokensInFlight()
  tokens.add(request('a', 100, 40))
  tokens.add(request('b', 10, 100_000))
  expect(tokens.total).toBe(100 + 40 + 10 + 512)
  tokens.told(event('a', 0))
  expect(tokens.total).toBe(100 + 40 + 10 + 512)
  tokens.told(event('a', 1))
  expect(tokens.total).toBe(39 + 10 + 512)
  tokens.told(event('b', 5_000))
  expect(tokens.total).toBe(39 + 512)
  tokens.told({ ...event('a', 40), end: 'length' })
  expect(tokens.total).toBe(512)
  tokens.told(event('gone', 3))
  tokens.clear()
  expect(tokens.total).toBe(0)
})
