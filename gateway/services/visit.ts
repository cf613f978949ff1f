/** One request of a visitor, sent to a backend that has the service. */
import { Readable } from 'node:stream'
import type { IncomingMessage } from 'node:http'
import { TunnelError } from '../../shared/tunnel/error.ts'
import type { Exchange, OpenRequest, ResponseHead } from '../../shared/tunnel/exchange.ts'
import { newId } from '../ids.ts'
import { VisitError } from './visit-error.ts'
import { requestHeadersFor, type Visited } from './visitor-headers.ts'

export type ServiceRouter = {
  /** A connection with room to a backend that has the service. */
  pickService(service: string): { open(request: OpenRequest): Exchange } | null
}

/** @throws VisitError */
export const openVisit = (
  router: ServiceRouter,
  service: string,
  incoming: IncomingMessage,
  visited: Visited,
  upgraded?: Readable,
): Exchange => {
  const { method = 'GET', url = '/' } = incoming
  // The absolute form, and `*`: nothing that this gateway would pass on.
  if (!url.startsWith('/')) throw new VisitError(400, 'The request must name a path.')
  const connection = router.pickService(service)
  if (!connection) throw new VisitError(503, 'The service is not there at the moment.')
  const hasBody = hasContent(incoming)
  if (hasBody && (method === 'GET' || method === 'HEAD')) {
    throw new VisitError(400, 'A GET or HEAD request with a body cannot be passed on.')
  }
  const source = upgraded ?? (hasBody ? incoming : null)
  return connection.open({
    requestId: newId('req'),
    method,
    path: url,
    headers: requestHeadersFor(incoming, visited),
    body: source && (Readable.toWeb(source) as ReadableStream<Uint8Array>),
    service,
    ...(upgraded && { upgrade: 'websocket' }),
  })
}

/** The head of the answer. @throws VisitError */
export const visitHead = async (exchange: Exchange): Promise<ResponseHead> => {
  try {
    return await exchange.head
  } catch (error) {
    const code = error instanceof TunnelError ? error.code : 'INTERNAL'
    // Refused on this side: too many fields, or too long ones.
    if (code === 'TOO_LARGE' || code === 'PROTOCOL_ERROR') {
      throw new VisitError(431, 'The head of the request is more than can be passed on.', error)
    }
    const isFull = code === 'OVERLOADED' || code === 'REFUSED' || code === 'DRAINING'
    throw isFull
      ? new VisitError(503, 'The service is busy at the moment.', error)
      : new VisitError(502, 'The service did not answer.', error)
  }
}

const hasContent = ({ headers }: IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
