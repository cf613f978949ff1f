/**
 * The door of exposed services on Node: carries a visitor's requests and WebSockets to the service through
 * the tunnel.
 */
import { STATUS_CODES, type IncomingMessage, type ServerResponse } from 'node:http'
import { Readable, type Duplex } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Log } from '../../shared/log.ts'
import type { Exchange } from '../../shared/tunnel/exchange.ts'
import { errorFields } from '../error-fields.ts'
import { sendResponse } from '../node-response.ts'
import { refusal, type ServiceAnswer } from './service-answer.ts'
import type { Place } from './service-origins.ts'
import { VisitError } from './visit-error.ts'
import type { VisitGate } from './visit-gate.ts'
import { openVisit, visitHead, type ServiceRouter } from './visit.ts'
import { responseHeadersFor } from './visitor-headers.ts'

export type ServiceDoorOptions = {
  readonly gate: VisitGate
  readonly router: ServiceRouter
  readonly log: Log
}

/** Statuses whose answers have no body. */
const bodiless: readonly number[] = [204, 205, 304]

export class ServiceDoor {
  readonly #options: ServiceDoorOptions

  constructor(options: ServiceDoorOptions) {
    this.#options = options
  }

  /** Answers one request. Never rejects. */
  async handle(place: Place, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const { gate } = this.#options
    try {
      const own = await gate.ownAnswer(place, incoming)
      if (own) return void outgoing.writeHead(own.status, own.headers).end(own.body)
      await gate.pass(place, incoming, async (signal) => {
        const exchange = this.#open(place, incoming, signal)
        onceGone(outgoing, () => exchange.cancel('the visitor left'))
        const { status, headers } = await visitHead(exchange)
        signal.throwIfAborted()
        const body = bodiless.includes(status) ? null : exchange.body
        const shown = new Headers(responseHeadersFor(headers))
        await sendResponse(new Response(body, { status, headers: shown }), outgoing)
      })
    } catch (error) {
      const { status, headers, body } = this.#explain(place, incoming, error)
      if (outgoing.headersSent) return void outgoing.destroy()
      // What is left of an upload is not waited for.
      if (!incoming.complete) outgoing.once('finish', () => incoming.destroy())
      outgoing.writeHead(status, headers).end(body)
    }
  }

  /** Answers one that asks for a WebSocket. Never rejects. */
  async handleUpgrade(
    place: Place,
    incoming: IncomingMessage,
    socket: Duplex,
    head: Buffer,
  ): Promise<void> {
    // 'close' follows, and tells.
    socket.on('error', () => {})
    if (head.length > 0) socket.unshift(head)
    let isAnswered = false
    try {
      await this.#options.gate.pass(place, incoming, async (signal) => {
        const exchange = this.#open(place, incoming, signal, socket)
        onceGone(socket, () => exchange.cancel('the visitor left'))
        const { status, headers } = await visitHead(exchange)
        signal.throwIfAborted()
        isAnswered = true
        socket.write(headText(status, [...responseHeadersFor(headers), ...hopFields(status)]))
        await pipeline(Readable.fromWeb(exchange.body as never), socket)
      })
    } catch (error) {
      const { status, headers, body } = this.#explain(place, incoming, error)
      if (isAnswered) return void socket.destroy()
      const fields = Object.entries({
        ...headers,
        'content-length': String(Buffer.byteLength(body)),
      })
      socket.end(headText(status, [...fields, ...hopFields(status)]) + body, () => socket.destroy())
    }
  }

  #open(place: Place, incoming: IncomingMessage, signal: AbortSignal, upgraded?: Duplex): Exchange {
    const address = incoming.socket.remoteAddress
    const { origin, service } = place
    const { router, log } = this.#options
    const exchange = openVisit(router, service, incoming, { origin, address }, upgraded)
    const stop = () => exchange.cancel('the visit is over')
    signal.addEventListener('abort', stop)
    void exchange.settled.then(({ outcome }) => {
      signal.removeEventListener('abort', stop)
      log.info('visit done', { service, outcome, upgrade: upgraded ? 'websocket' : undefined })
    })
    return exchange
  }

  #explain(place: Place, incoming: IncomingMessage, error: unknown): ServiceAnswer {
    if (error instanceof VisitError) return refusal(incoming, error.status, error.message)
    this.#options.log.warn('visit failed', { service: place.service, ...errorFields(error) })
    return refusal(incoming, 502, 'The gateway could not pass the request on.')
  }
}

/** Whoever left while the grant was looked up has said 'close' already. */
const onceGone = (visitor: ServerResponse | Duplex, leave: () => void): void => {
  if (visitor.destroyed) leave()
  else visitor.once('close', leave)
}

const hopFields = (status: number): [string, string][] =>
  status === 101
    ? [
        ['connection', 'Upgrade'],
        ['upgrade', 'websocket'],
      ]
    : [['connection', 'close']]

/** A response's head as it is sent. `Headers` has checked the fields. */
const headText = (status: number, fields: readonly (readonly [string, string])[]): string => {
  const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines.join('')}\r\n`
}
