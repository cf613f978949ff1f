/**
 * The gateway's end of the tunnel and nothing else: every request that comes is opened as an
 * exchange, without keys, books or limits. This is what frps does, and no more.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { LoginRefused } from '../../../../gateway/auth/login-refused.ts'
import { TunnelAcceptor } from '../../../../gateway/tunnel/accept.ts'
import { BackendRegistry } from '../../../../gateway/tunnel/registry.ts'
import { silentLog } from '../../../support/silent-log.ts'
import { childSettings, ready } from './child-port.ts'
import type { GatewaySide } from './gateway-side.ts'

childSettings()
process.once('SIGTERM', () => process.exit(0))
const registry = new BackendRegistry({ log: silentLog })
const acceptor = new TunnelAcceptor({
  registry,
  log: silentLog,
  login: {
    withToken: async () => ({
      backendId: 'bench',
      name: 'bench',
      models: null,
      publicKey: null,
      expiresAtMs: null,
    }),
    withTunnelKey: () => Promise.reject(new LoginRefused('no tunnel key')),
    isProof: async () => false,
    isInForce: async () => true,
    hasTunnelKey: false,
  },
})
let numRequests = 0

const readAll = async (request: IncomingMessage): Promise<Uint8Array> => {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  const [first] = chunks
  return chunks.length === 1 && first ? first : Buffer.concat(chunks)
}

const pass = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
  const body = await readAll(request)
  const exchange = registry.pick('bench')?.open({
    requestId: String(++numRequests),
    method: request.method ?? 'GET',
    path: request.url ?? '/',
    headers: new Headers({ 'content-type': request.headers['content-type'] ?? '' }),
    body,
  })
  if (!exchange) {
    response.writeHead(503).end()
    return
  }
  const { status, headers } = await exchange.head
  response.writeHead(status, Object.fromEntries(headers))
  const reader = exchange.body.getReader()
  response.once('close', () => void reader.cancel().catch(() => {}))
  for (;;) {
    const { done, value } = await reader.read()
    if (done) break
    if (!response.write(value)) await once(response, 'drain')
  }
  response.end()
}

const server = createServer((request, response) => {
  pass(request, response).catch(() => response.destroy())
})
server.on('upgrade', (request, socket, head) => {
  if (!acceptor.handleUpgrade(request, socket, head)) socket.destroy()
})
server.listen(0, '127.0.0.1')
await once(server, 'listening')
const details: GatewaySide = {
  port: (server.address() as AddressInfo).port,
  key: '',
  backendTokens: [''],
}
ready(details)
