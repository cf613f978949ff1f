/** A gateway with a service port and a service domain, a backend, and a real service behind it. */
import { createServer, request as httpRequest, type IncomingMessage, type Server } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { onTestFinished } from 'vitest'
import { WebSocketServer } from 'ws'
import { ServiceProxy } from '../../backend/services/service-proxy.ts'
import { tokenLogin } from '../../backend/tunnel/login.ts'
import { TokenMint } from '../../backend/tunnel/token.ts'
import { startGateway } from '../../gateway/node.ts'
import { lineLog } from '../../shared/log.ts'
import { silentLog } from '../support/silent-log.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { dialTest } from '../support/tunnel-pair.ts'
import { freePort } from '../support/free-port.ts'

/** What the service was asked, whole. */
export type Seen = {
  readonly method: string | undefined
  readonly url: string | undefined
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

/** Echoes requests as JSON, and WebSocket messages. */
export const startService = async () => {
  const seen: Seen[] = []
  const sockets = new WebSocketServer({ noServer: true })
  const server: Server = createServer(async (incoming, outgoing) => {
    const { method, url, headers } = incoming
    if (url === '/big') {
      outgoing.writeHead(200, { 'content-type': 'application/octet-stream' })
      for (let i = 0; i < 160; i++) {
        if (!outgoing.write(Buffer.alloc(65_536, i))) await once(outgoing, 'drain')
      }
      outgoing.end()
      return
    }
    if (url === '/events') {
      outgoing.writeHead(200, { 'content-type': 'text/event-stream' })
      outgoing.write('data: 1\n\n')
      return
    }
    if (url?.startsWith('/moved?')) {
      const location = new URL(url, 'http://any').searchParams.get('to') ?? ''
      outgoing.writeHead(307, { location }).end()
      return
    }
    const body = await buffer(incoming)
    seen.push({ method, url, headers, body })
    outgoing.setHeader('set-cookie', [
      'theme=dark; Domain=example.com; Path=/',
      'burrow-service-notebook=stolen; Path=/',
      'tab=1',
    ])
    outgoing.setHeader('content-type', 'application/json')
    outgoing.end(JSON.stringify({ method, url, bytes: body.length }))
  })
  server.on('upgrade', (incoming, socket, head) => {
    seen.push({ method: 'UPGRADE', url: incoming.url, headers: incoming.headers, body: head })
    sockets.handleUpgrade(incoming, socket, head, (client) => {
      client.on('message', (message, isBinary) => client.send(message, { binary: isBinary }))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  onTestFinished(() => {
    for (const client of sockets.clients) client.terminate()
    server.close()
    server.closeAllConnections()
  })
  return { url: new URL(`http://127.0.0.1:${port}`), seen, sockets }
}

export const exposeNotebook = async () => {
  const home = tempFolder()
  const service = await startService()
  const port = await freePort()
  const logged: string[] = []
  const domain = new URL('http://apps.test')
  const services = { domain, ports: new Map([['notebook', port]]) }
  const config = { host: '127.0.0.1', port: 0, home, services }
  const gateway = await startGateway(config, { log: lineLog((line) => logged.push(line)) })
  onTestFinished(() => gateway.close())
  const { token } = await gateway.admin.enrollBackend('gpu')
  const exposed = new Map([
    ['notebook', service.url],
    ['grafana', service.url],
    ['gone', new URL('http://127.0.0.1:1')],
  ])
  const proxy = new ServiceProxy(exposed, silentLog)
  onTestFinished(() => proxy.close())
  const tunnel = dialTest({
    url: `${gateway.url.replace('http', 'ws')}/tunnel`,
    login: tokenLogin(new TokenMint({ enrolmentSecret: token.reveal() })),
    models: ['tiger'],
    services: [...exposed.keys()],
    handler: async (request, exchange) =>
      exchange.service === undefined
        ? Response.json({ api: true })
        : proxy.handle(exchange.service, request, exchange),
  })
  onTestFinished(() => tunnel.close(0))
  await tunnel.connected
  const grant = (name: string, lifetimeMs = 60_000) =>
    gateway.admin.grants.createGrant({ service: name, name: 'test', lifetimeMs })
  return { gateway, service, port, origin: `http://127.0.0.1:${port}`, grant, logged, proxy }
}

/** A request with a `Host` and a path exactly as given. */
export const rawRequest = async (
  port: number,
  {
    body,
    ...options
  }: { method?: string; path: string; headers?: Record<string, string>; body?: string },
): Promise<{ status: number; headers: IncomingMessage['headers']; text: string }> => {
  const outgoing = httpRequest({ host: '127.0.0.1', port, agent: false, ...options })
  outgoing.end(body)
  const [incoming]: IncomingMessage[] = await once(outgoing, 'response')
  if (!incoming) throw new Error('no response')
  const text = (await buffer(incoming)).toString()
  return { status: incoming.statusCode ?? 0, headers: incoming.headers, text }
}
