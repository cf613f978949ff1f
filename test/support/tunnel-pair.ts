/** Both ends of a tunnel over a real socket on 127.0.0.1. */
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { dial, type DialOptions, type Tunnel } from '../../backend/tunnel/dial.ts'
import type { TunnelLogin } from '../../backend/tunnel/login.ts'
import { TunnelAcceptor, type TunnelAcceptorOptions } from '../../gateway/tunnel/accept.ts'
import { LoginRefused } from '../../gateway/auth/login-refused.ts'
import type { BackendIdentity } from '../../gateway/tunnel/backend-connection.ts'
import { BackendRegistry } from '../../gateway/tunnel/registry.ts'
import { lineLog, type Log } from '../../shared/log.ts'
import type { OpenRequest } from '../../shared/tunnel/exchange.ts'
import { defaultTiming, type Timing } from '../../shared/tunnel/limits.ts'

/** The real times, about fifty times as fast. */
export const fastTiming: Timing = {
  handshakeMs: 1_000,
  pingMs: 100,
  busyPingMs: 50,
  idleSilenceMs: 500,
  busySilenceMs: 250,
  stallMs: 600,
  tickMs: 20,
  cancelMs: 400,
  settleMs: 200,
  usageMs: 20,
  statusMs: 20,
  syncMs: 300,
  resetWindowMs: 1_000,
}

export const memoryLog = (): Log & { readonly lines: string[] } => {
  const lines: string[] = []
  return { ...lineLog((line) => lines.push(line)), lines }
}

export type TestGateway = {
  readonly port: number
  readonly url: string
  readonly registry: BackendRegistry
  readonly log: Log & { readonly lines: string[] }
  close(): Promise<void>
}

export type TestGatewayOptions = Partial<Omit<TunnelAcceptorOptions, 'login'>> & {
  /** In place of accepting `token-NAME` as the token of backend NAME. */
  readonly authenticate?: (token: string) => Promise<BackendIdentity | null>
  /** In place of both. */
  readonly login?: TunnelAcceptorOptions['login']
  /** Serves wss:// with them. */
  readonly tls?: { readonly key: string; readonly cert: string }
}

const tokenOwner = async (token: string): Promise<BackendIdentity | null> => {
  const name = /^token-(\w+)$/.exec(token)?.[1]
  return name === undefined ? null : { backendId: name, name }
}

/** Accepts `token-NAME` as the token of backend NAME. */
export const startGateway = async (
  timing: Timing = defaultTiming,
  { authenticate = tokenOwner, login, tls, ...options }: TestGatewayOptions = {},
  atPort = 0,
): Promise<TestGateway> => {
  const log = memoryLog()
  const registry = new BackendRegistry({ log, timing })
  const acceptor = new TunnelAcceptor({
    registry,
    log,
    timing,
    login: login ?? {
      withToken: async (token) => {
        const identity = await authenticate(token)
        if (!identity) throw new LoginRefused('This gateway does not know this backend token.')
        return { ...identity, models: null, publicKey: null, expiresAtMs: null }
      },
      withTunnelKey: () => Promise.reject(new LoginRefused('no tunnel key')),
      isProof: async () => false,
      isInForce: async () => true,
      hasTunnelKey: false,
    },
    ...options,
  })
  const notFound: RequestListener = (_request, response) => response.writeHead(404).end()
  const server = tls ? createTlsServer(tls, notFound) : createServer(notFound)
  server.on('upgrade', (request, socket, head) => {
    if (!acceptor.handleUpgrade(request, socket, head)) socket.end('HTTP/1.1 404 Not Found\r\n\r\n')
  })
  server.listen(atPort, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    port,
    url: `${tls ? 'wss' : 'ws'}://127.0.0.1:${port}/tunnel`,
    registry,
    log,
    async close() {
      registry.close()
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

/** Presents the same token each time. */
export const fixedLogin = (token: string): TunnelLogin => ({
  headers: async () => ({ authorization: `Bearer ${token}` }),
})

/** `token` is a short form of `login`. */
export const dialTest = ({
  token = 'token-a',
  ...options
}: Pick<DialOptions, 'url' | 'handler'> & Partial<DialOptions> & { token?: string }): Tunnel =>
  dial({
    login: fixedLogin(token),
    models: ['tiny'],
    log: memoryLog(),
    random: () => 0,
    ...options,
  })

/** A request to `/v1/test` with `body`. */
export const testRequest = (body: string | Uint8Array | null = null): OpenRequest => ({
  requestId: 'request-1',
  method: body === null ? 'GET' : 'POST',
  path: '/v1/test?x=1',
  headers: new Headers({ 'content-type': 'text/plain' }),
  body: typeof body === 'string' ? new TextEncoder().encode(body) : body,
})

/** Waits until `condition` holds; fails the test after two seconds. */
export const until = async (condition: () => boolean, what: string): Promise<void> => {
  const deadline = performance.now() + 2_000
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`waited too long until ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}
