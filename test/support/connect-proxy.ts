/** An HTTP proxy that knows CONNECT alone, as companies and clouds put before their machines. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'

export type ConnectProxy = {
  readonly port: number
  /** The targets asked for, in order. */
  readonly targets: string[]
  /** The Proxy-Authorization of each. */
  readonly authorizations: (string | undefined)[]
  /** Open ones of its clients. */
  readonly numConnections: number
  close(): Promise<void>
}

export type ConnectProxyOptions = {
  /** Wanted as `user:password`; else 407. */
  readonly credentials?: string
  /** Answers each CONNECT so; 0: not at all. */
  readonly status?: number
  /** Answers 200 and lets nothing pass. */
  readonly isDark?: boolean
}

/** Every host is 127.0.0.1 to it, so that only what goes through it reaches a made-up name. */
export const startConnectProxy = async ({
  credentials,
  status,
  isDark = false,
}: ConnectProxyOptions = {}): Promise<ConnectProxy> => {
  const targets: string[] = []
  const authorizations: (string | undefined)[] = []
  const sockets = new Set<Socket>()
  let numConnections = 0
  const wanted = credentials && `Basic ${Buffer.from(credentials).toString('base64')}`
  const server = createServer((_request, response) => response.writeHead(405).end())
  server.on('connection', (socket) => {
    sockets.add(socket)
    numConnections++
    socket.on('close', () => numConnections--)
  })
  server.on('connect', (request, client) => {
    client.on('error', () => {})
    targets.push(request.url ?? '')
    const authorization = request.headers['proxy-authorization']
    authorizations.push(authorization)
    const answer = authorization === wanted ? (status ?? 200) : 407
    if (answer === 0) {
      // Reads on, to see when the client has gone.
      client.resume().on('end', () => client.end())
      return
    }
    if (answer !== 200) {
      client.end(`HTTP/1.1 ${answer} No\r\nContent-Length: 0\r\n\r\n`)
      return
    }
    if (isDark) {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n')
      client.resume().on('end', () => client.end())
      return
    }
    const upstream = connect(Number(request.url?.split(':').at(-1)), '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n')
      client.pipe(upstream).pipe(client)
    })
    sockets.add(upstream)
    upstream.on('error', () => client.destroy())
    client.on('close', () => upstream.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    targets,
    authorizations,
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
