import { createHash } from 'node:crypto'
import { expect, onTestFinished, test } from 'vitest'
import { seededRandom } from '../../backend/engine/random.ts'
import { startRelay } from '../support/tunnel-relay.ts'
import { dialBackend } from './dialled-backend.ts'
import { chat, sse } from './forwarding.ts'
import { testGateway } from './test-gateway.ts'

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

/** Events of 1 byte and of 1 MiB, letters of 1 to 4 bytes, both kinds of line end, and the last word. */
const events = Buffer.from(
  [
    'data: größer 虎 🐯\n\n',
    ': a comment\n\n',
    'data:\n\n',
    'event: x\r\ndata: 1\r\ndata: 2\r\n\r\n',
    '\n\n',
    `data: ${'虎🐯é'.repeat(110_000)}\n\n`,
    ...Array.from({ length: 300 }, (_, i) => `data: {"choices":[{"text":"${i} 🐯"}]}\n\n`),
    'data: [DONE]\n\n',
  ].join(''),
)

/** The same bytes in pieces of random sizes: bytes of one letter apart, several events together. */
const pieces = (seed: number, largest: number): Uint8Array[] => {
  const random = seededRandom(seed)
  const cut: Uint8Array[] = []
  for (let at = 0; at < events.byteLength;) {
    const size = 1 + Math.floor(random.next() ** 3 * largest)
    cut.push(events.subarray(at, at + size))
    at += size
  }
  return cut
}

test.each([
  ['a byte at a time where events are small', () => pieces(1, 2_000)],
  ['in large pieces', () => pieces(2, 300_000)],
  ['whole', () => [events]],
])('a stream that is made %s arrives to the byte', async (_, cut) => {
  const gateway = await testGateway()
  const relay = await startRelay(Number(new URL(gateway.url).port), {
    shape: { segmentBytes: 1_201, jitterMs: 1 },
  })
  onTestFinished(() => relay.close())
  const chunks = cut()
  const handler = async () => {
    let next = 0
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        const chunk = chunks[next++]
        if (chunk) controller.enqueue(chunk)
        else controller.close()
      },
    })
    return new Response(body, { headers: { 'content-type': sse } })
  }
  await dialBackend({ port: relay.port, token: gateway.token, handler })
  const response = await gateway.post(chat, { model: 'tiger', stream: true })
  const received = await response.bytes()

  expect(received.byteLength).toBe(events.byteLength)
  expect(sha256(received)).toBe(sha256(events))
})
