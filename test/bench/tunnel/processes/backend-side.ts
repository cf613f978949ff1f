/**
 * Burrow's backend with a handler of the bench: one that answers by itself, as the engine's routes
 * do, or one that asks the same HTTP server that stands behind the peer.
 */
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { dial } from '../../../../backend/tunnel/dial.ts'
import { tokenLogin } from '../../../../backend/tunnel/login.ts'
import { TokenMint } from '../../../../backend/tunnel/token.ts'
import type { TunnelHandler } from '../../../../shared/tunnel/exchange.ts'
import { silentLog } from '../../../support/silent-log.ts'
import { atPace, bulkChunk, eventAnswer, jsonAnswer, readAsk } from '../answers.ts'
import { childSettings, ready } from './child-port.ts'

export type BackendSettings = {
  readonly gatewayPort: number
  /** What `backends enroll` prints; empty: the gateway's side lets everybody in. */
  readonly token: string
  /** Where the HTTP server listens that is to answer; absent: the handler does. */
  readonly serverPort?: number
}

const { gatewayPort, token, serverPort } = childSettings<BackendSettings>()

const inside: TunnelHandler = async (request, exchange) => {
  const ask = readAsk(await request.text())
  exchange.reportUsage({ promptTokens: 4, completionTokens: 50 })
  if (ask.kind === 'json') {
    return new Response(jsonAnswer, { headers: { 'content-type': 'application/json' } })
  }
  if (ask.kind === 'bulk') {
    let left = ask.bytes
    const body = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          if (left === 0) return controller.close()
          const size = Math.min(left, bulkChunk.byteLength)
          left -= size
          return controller.enqueue(bulkChunk.subarray(0, size))
        },
      },
      { highWaterMark: 0 },
    )
    return new Response(body, { headers: { 'content-type': 'application/octet-stream' } })
  }
  const body = new ReadableStream<Uint8Array>({
    async start(controller) {
      await atPace(ask.count, ask.intervalMs, () => controller.enqueue(eventAnswer))
      controller.close()
    },
  })
  return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
}

const agent = new Agent({ keepAlive: true, maxSockets: 1024 })

const forwarding: TunnelHandler = async (request) => {
  const body = Buffer.from(await request.arrayBuffer())
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    httpRequest(
      {
        port: serverPort,
        host: '127.0.0.1',
        agent,
        method: request.method,
        path: new URL(request.url).pathname,
        headers: {
          'content-type': request.headers.get('content-type') ?? '',
          'content-length': body.byteLength,
        },
      },
      resolve,
    )
      .on('error', reject)
      .end(body)
  })
  return new Response(Readable.toWeb(answer), {
    status: answer.statusCode ?? 502,
    headers: { 'content-type': answer.headers['content-type'] ?? '' },
  })
}

const tunnel = dial({
  url: `ws://127.0.0.1:${gatewayPort}/tunnel`,
  login:
    token === ''
      ? { headers: async () => ({ authorization: 'Bearer bench' }) }
      : tokenLogin(new TokenMint({ enrolmentSecret: token })),
  models: ['bench'],
  handler: serverPort === undefined ? inside : forwarding,
  log: silentLog,
})
process.once('SIGTERM', () => void tunnel.close(0).then(() => process.exit(0)))
await tunnel.connected
ready({})
