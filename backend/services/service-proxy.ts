/**
 * Passes a visitor's request on to an exposed service. Which service is said by the tunnel's stream and
 * where it lies by this box's own flags, so nothing in a request chooses another host.
 */
import { Agent, request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Socket } from 'node:net'
import { ApiError } from '../../shared/errors.ts'
import { headersOf, passesProxies } from '../../shared/hop-by-hop.ts'
import type { Log } from '../../shared/log.ts'
import { errorResponse } from '../../shared/openai/error.ts'
import type { ServedExchange, Upgraded } from '../../shared/tunnel/exchange.ts'
import type { ExposedServices } from './exposed-services.ts'
import { askingFields, leadingFields, movedTo, visitorOriginOf } from './visitor-origin.ts'

/** Statuses whose answers have no body. */
const bodiless: readonly number[] = [204, 205, 304]

/** Bytes that are read ahead of a slow visitor, beside the tunnel's own window. */
const readAhead = new ByteLengthQueuingStrategy({ highWaterMark: 64 * 1024 })

export class ServiceProxy {
  readonly #services: ExposedServices
  readonly #log: Log
  readonly #agent = new Agent({ keepAlive: true })

  constructor(services: ExposedServices, log: Log) {
    this.#services = services
    this.#log = log
  }

  /** Answers a stream of the service `name`. Rejects only where the visitor has left. */
  async handle(
    name: string,
    request: Request,
    exchange: ServedExchange,
  ): Promise<Response | Upgraded> {
    const target = this.#services.get(name)
    if (!target) return errorResponse(new ApiError(404, `This backend has no service ${name}.`))
    try {
      return await this.#forward(target, request, exchange)
    } catch (error) {
      request.signal.throwIfAborted()
      this.#log.warn('exposed service does not answer', { service: name, error: String(error) })
      return errorResponse(
        new ApiError(502, `The service ${name} does not answer.`, { code: 'service_unreachable' }),
      )
    }
  }

  close(): void {
    this.#agent.destroy()
  }

  #forward(target: URL, request: Request, exchange: ServedExchange): Promise<Response | Upgraded> {
    const { promise, resolve, reject } = Promise.withResolvers<Response | Upgraded>()
    const outgoing = this.#begin(target, request, exchange)
    const stop = () => outgoing.destroy()
    request.signal.addEventListener('abort', stop)
    outgoing.on('close', () => request.signal.removeEventListener('abort', stop))
    outgoing.on('error', reject)
    const visited = visitorOriginOf(request.headers)
    const shown = (incoming: IncomingMessage) =>
      new Headers(
        readdressed([...responseHeaders(incoming)], leadingFields, target.origin, visited),
      )
    outgoing.on('response', (incoming) => {
      try {
        resolve(answerOf(incoming, shown(incoming)))
      } catch (error) {
        // Node takes any number for a status.
        outgoing.destroy()
        reject(error)
      }
    })
    outgoing.on('upgrade', (incoming: IncomingMessage, socket: Socket, head: Buffer) => {
      request.signal.addEventListener('abort', () => socket.destroy())
      if (head.length > 0) socket.unshift(head)
      resolve({
        status: 101,
        headers: responseHeaders(incoming),
        body: Readable.toWeb(socket, { strategy: readAhead }) as ReadableStream<Uint8Array>,
      })
      const fromVisitor = exchange.upgradedBody
      if (fromVisitor) {
        // Either side's failure ends the other's: the socket is all they have in common.
        pipeline(Readable.fromWeb(fromVisitor as never), socket).catch(() => socket.destroy())
      }
    })
    if (request.body) {
      // The service may answer and close before it has read all.
      pipeline(Readable.fromWeb(request.body as never), outgoing).catch(() => {})
    } else {
      outgoing.end()
    }
    return promise
  }

  #begin(target: URL, request: Request, { upgrade }: ServedExchange): ClientRequest {
    const { pathname, search } = new URL(request.url)
    const isPassed = (name: string, value: string) =>
      name !== 'host' &&
      // Where no body follows, the service would take the next visitor's request for it.
      (name !== 'content-length' || request.body !== null || value === '0')
    const passed = [...request.headers].filter(([name, value]) => isPassed(name, value))
    const visited = visitorOriginOf(request.headers)
    const headers = readdressed(passed, askingFields, visited, target.origin).flat()
    return httpRequest({
      host: target.hostname.replace(/^\[|\]$/g, ''),
      port: target.port || 80,
      method: request.method,
      path: pathname + search,
      headers: [
        'host',
        target.host,
        ...headers,
        ...(upgrade ? ['connection', 'Upgrade', 'upgrade', upgrade] : []),
      ],
      ...(upgrade ? { agent: false } : { agent: this.#agent }),
    })
  }
}

const responseHeaders = (incoming: IncomingMessage): Headers =>
  headersOf(incoming.rawHeaders, passesProxies(incoming.headers.connection ?? null))

/** The named fields from one end's terms in the other's. Null: not known, and all stays as it is. */
const readdressed = (
  fields: readonly [string, string][],
  names: readonly string[],
  from: string | null,
  to: string | null,
): [string, string][] =>
  fields.map(([name, value]) => [
    name,
    from !== null && to !== null && names.includes(name) ? movedTo(value, from, to) : value,
  ])

const answerOf = (incoming: IncomingMessage, headers: Headers): Response => {
  const status = incoming.statusCode ?? 502
  if (bodiless.includes(status)) {
    incoming.resume()
    return new Response(null, { status, headers })
  }
  const body = Readable.toWeb(incoming, { strategy: readAhead }) as ReadableStream<Uint8Array>
  return new Response(body, { status, headers })
}
