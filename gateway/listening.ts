/** Starting to listen, as a promise. */
import type { ListenOptions, Server } from 'node:net'

/** Resolves when the server listens; rejects with the system's error when it cannot. */
export const listening = (server: Server, options: ListenOptions): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(options, () => {
      server.off('error', reject)
      resolve()
    })
  })

/** A client whose machine went to sleep says nothing: a WebSocket of it would hold its stream for ever. */
export const tcpKeepAlive = { keepAlive: true, keepAliveInitialDelay: 30_000 }
