/** Where Prometheus fetches metrics: on this machine alone, since they name backends and gateways. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import { isLoopback } from '../shared/loopback.ts'
import { prometheusType } from '../shared/prometheus.ts'

export type ScrapeListener = {
  /** E.g. `http://127.0.0.1:9464/metrics`. */
  readonly url: string
  close(): Promise<void>
}

/**
 * Serves `GET /metrics` on 127.0.0.1. Port 0: any free one.
 * @throws Error that says what to do when the port cannot be had
 */
export const listenForScrapes = async (
  port: number,
  metrics: () => string,
): Promise<ScrapeListener> => {
  const server = createServer(({ method, url, headers }, response) => {
    // A web page whose name points here must not read them.
    const isHere = isLoopback(headers.host?.replace(/:\d+$/, '') ?? '')
    const isRead = method === 'GET' || method === 'HEAD'
    const isFound = isHere && isRead && url?.split('?')[0] === '/metrics'
    const type = isFound ? prometheusType : 'text/plain; charset=utf-8'
    response.writeHead(isFound ? 200 : 404, { 'content-type': type })
    response.end(isFound ? metrics() : 'Only GET /metrics is here, as 127.0.0.1.\n')
  })
  server.listen(port, '127.0.0.1')
  try {
    await once(server, 'listening')
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new Error(`no metrics on port ${port}: ${reason}. Choose another --metrics-port`, {
      cause,
    })
  }
  const address = server.address()
  const listening = typeof address === 'object' && address ? address.port : port
  return {
    url: `http://127.0.0.1:${listening}/metrics`,
    close: async () => {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}
