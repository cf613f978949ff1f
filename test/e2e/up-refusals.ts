/** What is turned down. */
import OpenAI, { AuthenticationError } from 'openai'
import { describe, expect, test } from 'vitest'
import type { RunningBurrow } from '../support/running-burrow.ts'
import { model, user } from './asking.ts'

/** @param burrow the running system, started once for all tests of `burrow up` */
export const refusalTests = (burrow: () => RunningBurrow): void => {
  describe('what is turned down', () => {
    test.each(['brw_wrong', ''])('the key %j', async (key) => {
      const before = burrow().usage().length
      const request = new OpenAI({
        baseURL: `${burrow().url}/v1`,
        apiKey: key || 'none',
        maxRetries: 0,
      }).chat.completions.create({ model, messages: [user('hi')] })
      await expect(request).rejects.toBeInstanceOf(AuthenticationError)
      await expect(request).rejects.toMatchObject({ status: 401, code: 'invalid_api_key' })
      expect(burrow().usage().length).toBe(before)
    })

    test('no key at all', async () => {
      const response = await fetch(`${burrow().url}/v1/models`)
      expect(response.status).toBe(401)
      expect(await response.json()).toMatchObject({
        error: { type: 'invalid_request_error', code: 'invalid_api_key' },
      })
    })

    test('an unknown model', async () => {
      const request = burrow()
        .client()
        .chat.completions.create({ model: 'gpt-9', messages: [user('hi')] })
      await expect(request).rejects.toMatchObject({ status: 404, code: 'model_not_found' })
    })

    test('a prompt that is too long, with the numbers', async () => {
      const request = burrow()
        .client()
        .chat.completions.create({
          model,
          messages: [user('1'.repeat(3_000))],
        })
      await expect(request).rejects.toMatchObject({
        status: 400,
        code: 'context_length_exceeded',
        message: expect.stringContaining('2048'),
      })
    })

    test.each(['/v1/files', '/v1/embeddings', '/health/backend', '/tunnel'])(
      'the route %s, at the gateway',
      async (path) => {
        const response = await fetch(`${burrow().url}${path}`, {
          headers: { authorization: `Bearer ${burrow().key}` },
        })
        expect(response.status).toBe(404)
        expect(await response.json()).toMatchObject({ error: { type: 'invalid_request_error' } })
      },
    )
  })
}
