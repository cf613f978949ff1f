/** The control API on its Unix socket. */
import { chmod, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import type { Hono } from 'hono'
import { listening } from '../listening.ts'
import { controlSocketPath } from './socket-path.ts'

/** For answers under way: who asked for the drain wants to hear of its end. */
const lastAnswerMs = 1_000

/**
 * Serves the app on the data directory's control socket, for its owner alone, until `close`. The
 * caller holds the directory's lock: a socket that is there already is a dead gateway's.
 */
export const listenControl = async (
  home: string,
  app: Hono,
): Promise<{ close(): Promise<void> }> => {
  const path = controlSocketPath(home)
  await rm(path, { force: true })
  const server = createServer(getRequestListener(app.fetch, { overrideGlobalObjects: false }))
  await listening(server, { path })
  await chmod(path, 0o600)
  return {
    close: () =>
      new Promise((resolve) => {
        const timer = setTimeout(() => server.closeAllConnections(), lastAnswerMs)
        server.close(() => {
          clearTimeout(timer)
          resolve()
        })
        server.closeIdleConnections()
      }),
  }
}
