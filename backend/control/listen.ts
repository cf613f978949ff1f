/** The socket on which a running backend is told to drain, and tells how its tunnel is. */
import { once } from 'node:events'
import { chmod, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Log } from '../../shared/log.ts'
import { prometheusType } from '../../shared/prometheus.ts'
import type { PeerReport } from '../../shared/tunnel/connection-report.ts'
import { backendSocketPath } from './socket-path.ts'

/** How a drain ended. */
export type Drained = {
  /** Requests that were cut at its end. */
  readonly cut: number
}

export type ControlOptions = {
  readonly home: string
  readonly pid: number
  readonly log: Log
  /** Lets running requests finish for so long, and leaves. */
  readonly drain: (timeoutMs: number) => Promise<Drained>
  /** Each gateway with its connections. */
  readonly report: () => readonly PeerReport[]
  /** In Prometheus' text format. */
  readonly metrics: () => string
}

export type ControlListener = {
  /** After the answers under way. */
  close(): Promise<void>
}

/** For answers under way, when the process ends. */
const lastAnswerMs = 1_000

/**
 * Listens for the data directory's owner alone, until `close`. Where there can be no socket, that is
 * logged: a signal does the same.
 */
export const listenControl = async (options: ControlOptions): Promise<ControlListener> => {
  const { home, pid, log } = options
  const path = backendSocketPath(home, pid)
  if (path === null) {
    log.warn(
      'the path of the data directory is too long for `burrow drain` and `burrow tunnel status`',
      { home },
    )
    return { close: async () => {} }
  }
  const server = createServer((request, response) => void answer(request, response, options))
  try {
    // One of this name is a dead process's, whose number we have.
    await rm(path, { force: true })
    server.listen(path)
    await once(server, 'listening')
    await chmod(path, 0o600)
  } catch (error) {
    log.warn('cannot listen for `burrow drain` and `burrow tunnel status`', {
      reason: String(error),
    })
    return { close: async () => {} }
  }
  return {
    close: async () => {
      const closed = once(server, 'close')
      server.close()
      server.closeIdleConnections()
      const timer = setTimeout(() => server.closeAllConnections(), lastAnswerMs)
      await closed
      clearTimeout(timer)
    },
  }
}

const answer = async (
  { method, url = '' }: IncomingMessage,
  response: ServerResponse,
  { pid, drain, report, metrics }: ControlOptions,
): Promise<void> => {
  const { pathname, searchParams } = new URL(url, 'http://backend')
  const timeoutMs = Number(searchParams.get('timeoutMs'))
  const say = (status: number, type: string, body: string) => {
    response.writeHead(status, { 'content-type': type, connection: 'close' })
    response.end(body)
  }
  const sayJson = (status: number, value: unknown) =>
    say(status, 'application/json', JSON.stringify(value))
  if (method === 'POST' && pathname === '/drain' && timeoutMs >= 0) {
    sayJson(200, await drain(timeoutMs))
  } else if (method === 'GET' && pathname === '/tunnel') {
    sayJson(200, { pid, gateways: report() })
  } else if (method === 'GET' && pathname === '/metrics') {
    say(200, prometheusType, metrics())
  } else {
    sayJson(404, {})
  }
}
