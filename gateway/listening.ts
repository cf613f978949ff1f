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
