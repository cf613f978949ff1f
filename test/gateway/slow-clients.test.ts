import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import type { TunnelHandler } from '../../shared/tunnel/exchange.ts'
import { eventually } from '../support/eventually.ts'
import { auth, chat, encoder, sse } from './forwarding.ts'
import { connectBackend } from './test-backend.ts'
import { testGateway, type TestGateway } from './test-gateway.ts'

const MiB = 1024 * 1024
const chunk = encoder.encode(`data: ${'x'.repeat(16_000)}\n\n`)

type Ask = { readonly bytes: number; readonly isCounted?: boolean }

/** Streams as much as it is asked for, and counts what it made and what still runs. */
const source = () => {
  const state = { madeBytes: 0, running: 0 }
  const handler: TunnelHandler = async (request) => {
    const { bytes, isCounted }: Ask = JSON.parse(await request.text())
    let left = bytes
    state.running++
    const end = () => state.running--
    request.signal.addEventListener('abort', end)
    const body = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          if (left <= 0) {
            controller.close()
            request.signal.removeEventListener('abort', end)
            end()
            return
          }
          left -= chunk.byteLength
          if (isCounted) state.madeBytes += chunk.byteLength
          controller.enqueue(chunk)
        },
      },
      { highWaterMark: 0 },
    )
    return new Response(body, { headers: { 'content-type': sse } })
  }
  return { state, handler }
}

/** Asks on a socket of its own, and reads nothing after the head. */
const askSlowly = async (gateway: TestGateway, ask: Ask): Promise<Socket> => {
  const body = JSON.stringify({ model: 'tiger', stream: true, ...ask })
  const socket = connect(Number(new URL(gateway.url).port), '127.0.0.1')
  onTestFinished(() => void socket.destroy())
  socket.on('error', () => {})
  socket.write(
    `POST ${chat} HTTP/1.1\r\nHost: a\r\nAuthorization: ${auth(gateway).authorization}\r\n` +
      `Content-Length: ${body.length}\r\n\r\n${body}`,
  )
  await once(socket, 'data')
  socket.pause()
  return socket
}

test('one client that does not read, among 40 that do, holds up itself alone, and little is held for it', async () => {
  const gateway = await testGateway()
  const { state, handler } = source()
  await connectBackend(gateway.url, gateway.token, handler)
  const slow = await askSlowly(gateway, { bytes: 256 * MiB, isCounted: true })
  const askFast = async () => {
    const response = await gateway.post(chat, { model: 'tiger', stream: true, bytes: MiB })
    return (await response.bytes()).byteLength
  }
  const sizes: number[] = []
  for (let i = 0; i < 4; i++) {
    sizes.push(...(await Promise.all(Array.from({ length: 10 }, askFast))))
  }

  const whole = Math.ceil(MiB / chunk.byteLength) * chunk.byteLength
  expect(sizes).toEqual(Array.from({ length: 40 }, () => whole))
  // The windows, and what the kernel's buffers between here and there swallow.
  expect(state.madeBytes).toBeLessThan(16 * MiB)
  slow.destroy()
  await eventually(() => state.running === 0)
})

test('100 downloads that are given up leave nothing behind', async () => {
  const gateway = await testGateway()
  const { state, handler } = source()
  await connectBackend(gateway.url, gateway.token, handler)
  for (let round = 0; round < 5; round++) {
    const sockets = await Promise.all(
      Array.from({ length: 20 }, () => askSlowly(gateway, { bytes: 8 * MiB })),
    )
    for (const socket of sockets) socket.destroy()
  }

  await eventually(() => state.running === 0)
  const records = await gateway.usage(100)
  expect(records.filter(({ outcome }) => outcome === 'cancelled')).toHaveLength(100)
  const listed = await gateway.admin.listBackends()
  expect(listed).toMatchObject([{ connected: true }])
  const response = await gateway.post(chat, { model: 'tiger', bytes: 1 })
  expect((await response.bytes()).byteLength).toBe(chunk.byteLength)
})
