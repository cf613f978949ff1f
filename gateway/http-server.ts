/** The public HTTP server on Node: the app, and the tunnel's upgrades beside it. */
import { createServer, ServerResponse, type IncomingMessage } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { tunnelPath } from '../shared/tunnel/handshake.ts'
import { asksForWebSocket } from './asks-for-web-socket.ts'
import type { GatewayConfig } from './config.ts'
import { listening } from './listening.ts'
import { sendResponse } from './node-response.ts'
import type { ServiceDoor } from './services/service-door.ts'
import type { Place } from './services/service-origins.ts'
import type { TunnelAcceptor } from './tunnel/accept.ts'

export type HttpServerOptions = Pick<GatewayConfig, 'host' | 'port'> & {
  readonly fetch: (request: Request) => Response | Promise<Response>
  readonly tunnels: TunnelAcceptor
  /** Exposed services that are told from the API by their host. */
  readonly visits: { placeOf(host: string | undefined): Place | null; readonly door: ServiceDoor }
}

/** How often a closing server looks for connections that have become idle. */
const idlePollMs = 50

export type HttpServer = {
  /** Where a program on this machine reaches it. */
  readonly url: string
  /** Takes no new connections; resolves when every answer under way is sent. */
  finish(): Promise<void>
  /** Cuts what is left. Resolves when all connections are closed, the tunnels' too. */
  close(): Promise<void>
}

/** Listens. Fails with what to do when the address is taken or not ours. */
export const startHttpServer = async (options: HttpServerOptions): Promise<HttpServer> => {
  const { host, port, tunnels, visits } = options
  const answers = new Set<Promise<void>>()
  const listener = getRequestListener(
    async (request, env) => {
      const { outgoing } = env
      if (!(outgoing instanceof ServerResponse)) throw new TypeError('only HTTP/1.1 is served')
      const answer = (async () => sendResponse(await options.fetch(request), outgoing))()
      answers.add(answer)
      await answer.finally(() => answers.delete(answer))
      return RESPONSE_ALREADY_SENT
    },
    { overrideGlobalObjects: false },
  )
  const shouldUpgradeCallback = (incoming: IncomingMessage): boolean =>
    asksForWebSocket(incoming) &&
    (visits.placeOf(incoming.headers.host) !== null || isForTunnel(incoming))
  const server = createServer({ shouldUpgradeCallback }, (incoming, outgoing) => {
    const place = visits.placeOf(incoming.headers.host)
    if (place) void visits.door.handle(place, incoming, outgoing)
    else void listener(incoming, outgoing)
  })
  server.on('upgrade', (request, socket, head) => {
    const place = visits.placeOf(request.headers.host)
    if (place) void visits.door.handleUpgrade(place, request, socket, head)
    else if (!tunnels.handleUpgrade(request, socket, head)) socket.destroy()
  })
  await listening(server, { host, port }).catch((error: unknown) => {
    throw listenError(error, options)
  })
  const address = server.address()
  const actualPort = typeof address === 'object' && address ? address.port : port

  let closed: Promise<void> | undefined
  const stopListening = (): Promise<void> => {
    closed ??= new Promise((resolve) => {
      const poll = setInterval(() => server.closeIdleConnections(), idlePollMs)
      server.close(() => {
        clearInterval(poll)
        resolve()
      })
    })
    return closed
  }
  return {
    url: `http://${reachable(host)}:${actualPort}`,
    async finish() {
      void stopListening()
      while (answers.size > 0) await Promise.allSettled(answers)
    },
    async close() {
      const stopped = stopListening()
      server.closeAllConnections()
      await stopped
    },
  }
}

const isForTunnel = ({ url }: IncomingMessage): boolean => url?.split('?', 1)[0] === tunnelPath

/** A wildcard address is for listening only. */
const reachable = (host: string): string => {
  if (host === '0.0.0.0') return '127.0.0.1'
  if (host === '::') return '[::1]'
  return host.includes(':') ? `[${host}]` : host
}

const listenError = (error: unknown, { host, port }: Pick<GatewayConfig, 'host' | 'port'>) => {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  const cause = { cause: error }
  if (code === 'EADDRINUSE') {
    return new Error(
      `port ${port} is taken: another program listens on ${host}:${port}; choose another with --port`,
      cause,
    )
  }
  if (code === 'EACCES') {
    return new Error(`port ${port} is not ours to open: choose one above 1023 with --port`, cause)
  }
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
    return new Error(`${host} is not an address of this machine: choose another with --host`, cause)
  }
  return error
}
