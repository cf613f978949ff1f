import { expect } from 'vitest'
import { SseReader } from '../support/sse-reader.ts'

/** A stream of the bundled model of which the first event has come, and more is to come. */
export const begunStream = async (
  url: string,
  key: string,
  countTo: number,
): Promise<SseReader> => {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'burrow-tiny',
      temperature: 0,
      stream: true,
      messages: [{ role: 'user', content: `count from 1 to ${countTo}` }],
    }),
  })
  expect(response.status).toBe(200)
  const reader = new SseReader(response)
  await reader.next()
  return reader
}
