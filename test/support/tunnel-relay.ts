/** A TCP relay between a backend and a gateway that can cut, or go silent with its sockets open. */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

export type Relay = {
  readonly port: number
  /** Destroys both sides of every connection. */
  cut(): void
  /** From now on nothing passes, and nobody is told: a half-open connection. */
  blackhole(): void
  /** New connections pass again; those that were swallowed stay so. */
  heal(): void
  readonly numConnections: number
  close(): Promise<void>
}

export const startRelay = async (targetPort: number): Promise<Relay> => {
  const sockets = new Set<Socket>()
  let isDark = false
  let numConnections = 0
  const pass = (from: Socket, to: Socket) => {
    sockets.add(from)
    from.on('data', (bytes) => {
      if (!swallowed.has(from)) to.write(bytes)
    })
    from.on('close', () => {
      sockets.delete(from)
      if (!swallowed.has(from)) to.destroy()
    })
    from.on('error', () => {})
  }
  const swallowed = new WeakSet<Socket>()
  const server = createServer((inner) => {
    if (isDark) {
      swallowed.add(inner)
      sockets.add(inner)
      inner.on('error', () => {})
      return
    }
    numConnections++
    const outer = connect(targetPort, '127.0.0.1')
    pass(inner, outer)
    pass(outer, inner)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    port,
    cut() {
      for (const socket of sockets) socket.destroy()
    },
    blackhole() {
      isDark = true
      for (const socket of sockets) swallowed.add(socket)
    },
    heal() {
      isDark = false
    },
    get numConnections() {
      return numConnections
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
