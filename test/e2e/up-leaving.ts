/** What happens to the work for a client that leaves, or is not alone. */
import { describe, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import type { RunningBurrow } from '../support/running-burrow.ts'
import { SseReader } from '../support/sse-reader.ts'
import { model, recordOf, user } from './asking.ts'

/** @param burrow the running system, started once for all tests of `burrow up` */
export const leavingTests = (burrow: () => RunningBurrow): void => {
  describe('leaving early', () => {
    test('stops the work within a second, and the record has what was decoded', async () => {
      const before = await burrow().engine()
      const controller = new AbortController()
      const response = await burrow().chatStream('count from 1 to 400', {
        signal: controller.signal,
      })
      const reader = new SseReader(response)
      for (let i = 0; i < 6; i++) await reader.next()
      controller.abort()
      await eventually(async () => (await burrow().engine())?.running === 0, 1_000)
      const after = await burrow().engine()
      await new Promise((resolve) => setTimeout(resolve, 300))
      expect(await burrow().engine()).toEqual(after)
      const decoded = (after?.generatedTokens ?? 0) - (before?.generatedTokens ?? 0)
      expect(await recordOf(burrow(), response)).toMatchObject({
        outcome: 'cancelled',
        completion_tokens: decoded,
        tokens_source: 'reported',
      })
      expect(decoded).toBeGreaterThan(3)
      expect(decoded).toBeLessThan(1_500)
    })

    test('stops all n answers, and the record has the tokens of all', async () => {
      const before = await burrow().engine()
      const controller = new AbortController()
      const { signal } = controller
      const messages = [user('count from 1 to 400')]
      const response = await burrow().post(
        '/v1/chat/completions',
        { model, messages, temperature: 0, n: 4, stream: true },
        { signal },
      )
      const reader = new SseReader(response)
      for (let i = 0; i < 20; i++) await reader.next()
      controller.abort()
      await eventually(async () => (await burrow().engine())?.running === 0, 1_000)
      const decoded =
        ((await burrow().engine())?.generatedTokens ?? 0) - (before?.generatedTokens ?? 0)
      expect(await recordOf(burrow(), response)).toMatchObject({
        outcome: 'cancelled',
        completion_tokens: decoded,
        tokens_source: 'reported',
      })
      expect(decoded).toBeLessThan(4 * 1_500)
    })

    test('before the first token stops the work too', async () => {
      const known = new Set(
        burrow()
          .usage()
          .map((row) => row.request_id),
      )
      const controller = new AbortController()
      const request = burrow().post(
        '/v1/chat/completions',
        { model, messages: [user('count from 1 to 400')], temperature: 0 },
        { signal: controller.signal },
      )
      await eventually(async () => (await burrow().engine())?.running === 1)
      controller.abort()
      await expect(request).rejects.toThrow(/abort/i)
      await eventually(async () => (await burrow().engine())?.running === 0, 1_000)
      const record = await eventually(() =>
        burrow()
          .usage()
          .find((row) => !known.has(row.request_id)),
      )
      expect(record).toMatchObject({ status: 499, outcome: 'cancelled', tokens_source: 'reported' })
    })
  })

  describe('two clients at once', () => {
    test('are decoded together, each with its own text', async () => {
      const readers = await Promise.all(
        ['count from 1 to 150', 'count from 201 to 350'].map(
          async (content) => new SseReader(await burrow().chatStream(content)),
        ),
      )
      expect((await burrow().engine())?.running).toBe(2)
      const answers = await Promise.all(readers.map((reader) => reader.rest()))
      const texts = answers.map((events) =>
        events
          .filter((event) => event !== '[DONE]')
          .map((event) => JSON.parse(event).choices[0].delta.content ?? '')
          .join(''),
      )
      const count = (from: number) => Array.from({ length: 150 }, (_, i) => i + from).join(' ')
      expect(texts).toEqual([count(1), count(201)])
    })
  })
}
