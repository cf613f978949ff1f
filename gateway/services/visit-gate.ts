/** Who may pass to a service, how many at once, and for how long. */
import type { IncomingMessage } from 'node:http'
import { ActiveRequests } from '../active-requests.ts'
import { asksForWebSocket } from '../asks-for-web-socket.ts'
import { isOwnRequest } from './same-origin.ts'
import { entrance, type ServiceAnswer } from './service-answer.ts'
import { visitCookie } from './service-cookies.ts'
import type { Place } from './service-origins.ts'
import { VisitError } from './visit-error.ts'
import { findGrant, findVisitor, type VisitorOptions } from './visitor.ts'

/** Nothing below it is ever passed on. */
const ownPath = '/.burrow/'
/** Where a link leads. */
export const enterPath = `${ownPath}enter`

/** Visits of one service at once. */
const maxVisits = 256
/** setTimeout's own limit: a visit that would last longer ends then. */
const maxTimerMs = 2 ** 31 - 1

const nothingHere = () => new VisitError(404, 'There is nothing here.')

const notLetIn =
  'This service is not public. Ask for a link to it: burrow services grant, on the gateway, makes one.'

export class VisitGate {
  readonly #options: VisitorOptions
  /** By grant, as are the next. */
  readonly #requests = new ActiveRequests()
  readonly #webSockets = new ActiveRequests()
  readonly #numVisits = new Map<string, number>()

  constructor(options: VisitorOptions) {
    this.#options = options
  }

  /** Ends what the grant's visitors have open, and what they still open. */
  grantRevoked(id: string): void {
    const reason = new VisitError(401, 'The grant was revoked.')
    for (const visits of this.#all) visits.revokeKey(id, reason)
  }

  /** Requests that run; not WebSockets, which nobody can wait for. */
  get count(): number {
    return this.#requests.count
  }

  /** Resolves when no request runs. */
  idle(): Promise<void> {
    return this.#requests.idle()
  }

  /** Cuts all visits. */
  close(): void {
    for (const visits of this.#all) visits.abortAll(new VisitError(503, 'The gateway stops.'))
  }

  /** The gateway's own answer, where the request is for it and not for the service. @throws VisitError */
  async ownAnswer(
    { service, origin }: Place,
    { url = '/' }: IncomingMessage,
  ): Promise<ServiceAnswer | null> {
    if (!url.startsWith(ownPath)) return null
    const { searchParams, pathname } = new URL(url, origin)
    if (pathname !== enterPath) throw nothingHere()
    const secret = searchParams.get('grant') ?? ''
    const grant = await findGrant(this.#options, service, secret)
    if (!grant) throw new VisitError(401, notLetIn)
    const maxAgeSeconds = Math.floor((grant.expiresAt - this.#options.now()) / 1000)
    const isSecure = origin.protocol === 'https:'
    return entrance(visitCookie(service, secret, { isSecure, maxAgeSeconds }))
  }

  /**
   * Runs `visit` for a visitor who may pass.
   * @param visit ends soon after its signal aborts, with a VisitError as the reason
   * @throws VisitError, and what `visit` throws
   */
  async pass(
    place: Place,
    incoming: IncomingMessage,
    visit: (signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const { headers, method = 'GET', url = '/' } = incoming
    if (url.startsWith(ownPath)) throw nothingHere()
    const { grant, byCookie } = await this.#visitor(place, incoming)
    const isUpgrade = asksForWebSocket(incoming)
    if (byCookie && !isOwnRequest(headers, method, isUpgrade, place.origin)) {
      throw new VisitError(403, 'This request comes from another site.')
    }
    const leave = this.#arrive(place.service)
    const running = (isUpgrade ? this.#webSockets : this.#requests).start(grant.id)
    const end = new AbortController()
    const lastsMs = Math.min(grant.expiresAt - this.#options.now(), maxTimerMs)
    const runOut = () => end.abort(new VisitError(401, 'The grant has run out.'))
    const timer = setTimeout(runOut, lastsMs)
    try {
      const signal = AbortSignal.any([running.signal, end.signal])
      signal.throwIfAborted()
      await visit(signal)
    } finally {
      clearTimeout(timer)
      running.finish()
      leave()
    }
  }

  get #all(): readonly ActiveRequests[] {
    return [this.#requests, this.#webSockets]
  }

  async #visitor({ service, origin }: Place, { headers }: IncomingMessage) {
    const isSecure = origin.protocol === 'https:'
    const visitor = await findVisitor(this.#options, service, headers, isSecure)
    if (!visitor) throw new VisitError(401, notLetIn)
    return visitor
  }

  #arrive(service: string): () => void {
    const before = this.#numVisits.get(service) ?? 0
    if (before >= maxVisits) throw new VisitError(503, 'The service has too many visitors.')
    this.#numVisits.set(service, before + 1)
    return () => {
      const left = (this.#numVisits.get(service) ?? 1) - 1
      if (left === 0) this.#numVisits.delete(service)
      else this.#numVisits.set(service, left)
    }
  }
}
