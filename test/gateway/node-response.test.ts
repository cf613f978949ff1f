import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { sendResponse } from '../../gateway/node-response.ts'

/** A server that answers with the response, and a socket that has asked it and reads nothing yet. */
const asked = async (response: Response, stallMs?: number) => {
  const sent = Promise.withResolvers<void>()
  const server = createServer((_, outgoing) => {
    void sendResponse(response, outgoing, stallMs).then(sent.resolve)
  }).listen(0, '127.0.0.1')
  onTestFinished(() => void server.close())
  await once(server, 'listening')
  const address = server.address()
  const socket = connect(typeof address === 'object' && address ? address.port : 0, '127.0.0.1')
  onTestFinished(() => void socket.destroy())
  socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  return { socket, sent: sent.promise }
}

const read = async (socket: AsyncIterable<unknown>) => {
  let text = ''
  for await (const chunk of socket) text += String(chunk)
  return text
}

test('the head is sent before there is any body', async () => {
  let end = () => {}
  const body = new ReadableStream<Uint8Array>({ start: (c) => void (end = () => c.close()) })
  const { socket, sent } = await asked(new Response(body, { headers: { 'x-a': 'b' } }))

  const [head] = await once(socket, 'data')
  expect(String(head)).toMatch(/^HTTP\/1.1 200 OK\r\nx-a: b\r\n/)
  end()
  expect(await read(socket)).toBe('0\r\n\r\n')
  await sent
})

test('a body that breaks never ends as if it were whole', async () => {
  const body = new ReadableStream<Uint8Array>({
    pull: (c) => c.error(new Error('secret')),
    start: (c) => c.enqueue(new TextEncoder().encode('part')),
  })
  const { socket, sent } = await asked(new Response(body))
  const text = await read(socket).catch(() => '')
  await sent

  expect(text).not.toContain('\r\n0\r\n')
  expect(text).not.toContain('secret')
})

test('a client that takes nothing for long is cut, and its body cancelled', async () => {
  const cancelled = Promise.withResolvers<unknown>()
  const body = new ReadableStream<Uint8Array>({
    pull: (c) => c.enqueue(new Uint8Array(1024 * 1024)),
    cancel: cancelled.resolve,
  })
  const { socket, sent } = await asked(new Response(body), 100)
  socket.pause()

  await sent
  expect(await cancelled.promise).toEqual(new Error('the client left'))
})

test('a head that cannot be written cancels the body', async () => {
  const cancelled = Promise.withResolvers<void>()
  const body = new ReadableStream<Uint8Array>({ cancel: () => cancelled.resolve() })
  const response = new Response(body)
  Object.defineProperty(response, 'headers', { value: [['bad name', 'x']] })
  const { socket, sent } = await asked(response)

  await cancelled.promise
  await sent
  expect(await read(socket).catch(() => '')).toBe('')
})
