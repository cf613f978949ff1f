/** An exposed service that speaks HTTP by hand: what no well-behaved server would say or do. */
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'

/** @param speak gets each connection, and all that has come on it whenever more comes */
export const startRawService = async (
  speak: (socket: Socket, received: string) => void,
): Promise<URL> => {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    let received = ''
    socket.on('data', (chunk) => {
      received += String(chunk)
      speak(socket, received)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return new URL(`http://127.0.0.1:${port}`)
}
