/** The HTTP server behind every system: by hand over sockets, so that it costs next to nothing. */
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { atPace, bulkChunk, eventAnswer, jsonAnswer, readAsk, type Ask } from '../answers.ts'
import { childSettings, ready } from './child-port.ts'

const chunk = (bytes: Buffer): Buffer =>
  Buffer.concat([Buffer.from(`${bytes.byteLength.toString(16)}\r\n`), bytes, Buffer.from('\r\n')])

const head = (contentType: string, framing: string): string =>
  `HTTP/1.1 200 OK\r\nContent-Type: ${contentType}\r\n${framing}\r\n\r\n`

const wholeJson = Buffer.concat([
  Buffer.from(head('application/json', `Content-Length: ${jsonAnswer.byteLength}`)),
  jsonAnswer,
])
const eventHead = head('text/event-stream', 'Transfer-Encoding: chunked')
const oneEvent = chunk(eventAnswer)
const lastChunk = '0\r\n\r\n'

/** Writes, and waits for the reader when the socket is full. */
const write = (socket: Socket, bytes: Buffer | string): void | Promise<void> => {
  if (socket.write(bytes) || socket.destroyed) return undefined
  return new Promise((resolve) => {
    const done = () => {
      socket.off('drain', done).off('close', done)
      resolve()
    }
    socket.on('drain', done).on('close', done)
  })
}

const answer = async (socket: Socket, ask: Ask): Promise<void> => {
  if (ask.kind === 'json') {
    socket.write(wholeJson)
  } else if (ask.kind === 'events') {
    socket.write(eventHead)
    await atPace(ask.count, ask.intervalMs, () => write(socket, oneEvent))
    socket.write(lastChunk)
  } else {
    socket.write(head('application/octet-stream', `Content-Length: ${ask.bytes}`))
    for (let left = ask.bytes; left > 0 && !socket.destroyed; left -= bulkChunk.byteLength) {
      await write(socket, left < bulkChunk.byteLength ? bulkChunk.subarray(0, left) : bulkChunk)
    }
  }
}

const serve = (socket: Socket): void => {
  let rest = ''
  socket.setNoDelay(true)
  socket.on('error', () => {})
  socket.setEncoding('latin1').on('data', (text: string) => {
    rest += text
    const headEnd = rest.indexOf('\r\n\r\n')
    if (headEnd === -1) return
    const bodyBytes = Number(/\r\ncontent-length: *(\d+)/i.exec(rest.slice(0, headEnd))?.[1] ?? 0)
    const end = headEnd + 4 + bodyBytes
    if (rest.length < end) return
    const body = rest.slice(headEnd + 4, end)
    rest = rest.slice(end)
    // No pipelining: the next request comes after this answer.
    void answer(socket, readAsk(body))
  })
}

childSettings()
const server = createServer(serve).listen(0, '127.0.0.1')
await once(server, 'listening')
ready({ port: (server.address() as AddressInfo).port })
