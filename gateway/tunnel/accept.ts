/**
 * Takes a backend's WebSocket on Node: checks the upgrade request and the token first, and has
 * nothing allocated for a stranger.
 */
import { STATUS_CODES, type IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import { ApiError } from '../../shared/errors.ts'
import type { Log } from '../../shared/log.ts'
import { asApiError, errorBody } from '../../shared/openai/error.ts'
import { protocolName, tunnelPath } from '../../shared/tunnel/handshake.ts'
import { defaultTiming, limits, type Timing } from '../../shared/tunnel/limits.ts'
import { closeCodes } from '../../shared/tunnel/error.ts'
import { feedSession, socketTransport } from '../../shared/tunnel/socket-transport.ts'
import type { BackendLogin } from '../auth/backend-login.ts'
import { ClientAddresses } from '../client-address.ts'
import { errorFields } from '../error-fields.ts'
import { AttemptLimit } from './attempt-limit.ts'
import {
  checkProtocol,
  identifyCaller,
  notNow,
  tooOften,
  type Caller,
  type HeaderOf,
} from './caller.ts'
import type { BackendRegistry } from './registry.ts'
import { TokenAdmission } from './token-admission.ts'
import { TunnelKeyAdmission } from './tunnel-key-admission.ts'

export type TunnelAcceptorOptions = {
  readonly registry: BackendRegistry
  readonly login: Pick<
    BackendLogin,
    'withToken' | 'withTunnelKey' | 'hasTunnelKey' | 'isProof' | 'isInForce'
  >
  readonly log: Log
  readonly timing?: Timing
  /** Default: the sockets' own. */
  readonly addresses?: ClientAddresses
  readonly attempts?: AttemptLimit
  /** ms since the epoch. */
  readonly now?: () => number
}

type Admitted = TokenAdmission | TunnelKeyAdmission

/** Upgrade requests whose tokens are being looked up at once: a storm of dials waits outside. */
const maxPending = 64

export class TunnelAcceptor {
  readonly #options: TunnelAcceptorOptions
  readonly #addresses: ClientAddresses
  readonly #attempts: AttemptLimit
  readonly #sockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: limits.messageBytes,
    handleProtocols: () => protocolName,
  })
  #numPending = 0

  constructor(options: TunnelAcceptorOptions) {
    this.#options = options
    this.#addresses = options.addresses ?? new ClientAddresses()
    this.#attempts = options.attempts ?? new AttemptLimit()
  }

  /**
   * For the HTTP server's `upgrade` event. False when the path is not the tunnel's: the socket is
   * then untouched, and the caller's.
   */
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean {
    if (request.url?.split('?', 1)[0] !== tunnelPath) return false
    // A client may vanish at any time; 'close' does the rest.
    socket.on('error', () => {})
    void this.#accept(request, socket, head)
    return true
  }

  async #accept(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const address = this.#addresses.of(request)
    const waitMs = address === null ? 0 : this.#attempts.waitMs(address)
    const failed = () => address !== null && this.#attempts.failed(address)
    const admission = await this.#admit(request, address, waitMs).catch(asApiError)
    if (admission instanceof ApiError) {
      if (admission.status === 401) failed()
      refuse(socket, admission)
    } else if (!socket.destroyed) {
      this.#upgrade(request, socket, head, admission, failed)
    }
  }

  /** @throws ApiError */
  async #admit(
    request: IncomingMessage,
    address: string | null,
    waitMs: number,
  ): Promise<Admitted> {
    const { login, log, now = Date.now } = this.#options
    checkProtocol(headerOf(request))
    if (waitMs > 0) throw tooOften(waitMs)
    const caller = await this.#identify(request)
    return 'grant' in caller
      ? new TokenAdmission(caller.grant, { login, log, now })
      : new TunnelKeyAdmission({ login, log, backendName: caller.backendName, address })
  }

  #upgrade(
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    admission: Admitted,
    failed: () => void,
  ): void {
    const { registry, log } = this.#options
    this.#sockets.handleUpgrade(request, socket, head, (webSocket) => {
      const session = registry.connect(admission.identity, socketTransport(webSocket), admission)
      admission.watch(session)
      void session.closed.then(({ code }) => {
        if (!admission.identity && !ownReasons.includes(code)) failed()
      })
      webSocket.on('error', (error) => {
        const backend = admission.identity?.name
        log.warn('tunnel socket failed', { backend, error: error.message })
      })
      feedSession(webSocket, session)
    })
  }

  /** @throws ApiError */
  async #identify(request: IncomingMessage): Promise<Caller> {
    if (this.#numPending >= maxPending) throw tooMany
    this.#numPending++
    try {
      return await this.#identifyInTime(request)
    } catch (error) {
      if (error instanceof ApiError) throw error
      this.#options.log.error('backend token could not be checked', errorFields(error))
      throw notNow
    } finally {
      this.#numPending--
    }
  }

  /** @throws when the look-up fails or takes longer than a handshake may */
  async #identifyInTime(request: IncomingMessage): Promise<Caller> {
    const { login, timing = defaultTiming } = this.#options
    const late = Promise.withResolvers<never>()
    const timer = setTimeout(() => late.reject(new Error('timed out')), timing.handshakeMs)
    try {
      return await Promise.race([identifyCaller(headerOf(request), login), late.promise])
    } finally {
      clearTimeout(timer)
    }
  }
}

const headerOf =
  ({ headers }: IncomingMessage): HeaderOf =>
  (name) =>
    headers[name]?.toString()

/** A stranger that ended so has not failed: the gateway had no time or place for it. */
const ownReasons: readonly number[] = [closeCodes.GOING_AWAY, closeCodes.INTERNAL_ERROR]

const unavailable = (message: string) =>
  new ApiError(503, message, { type: 'service_unavailable_error', retryAfterSeconds: 1 })

const tooMany = unavailable('Too many backends are connecting at once. Try again in a moment.')

/** Answers an upgrade request without upgrading it. */
const refuse = (socket: Duplex, error: ApiError): void => {
  const body = JSON.stringify(errorBody(error))
  const retryAfter = error.retryAfterSeconds
  const headers = Object.entries({
    'Content-Type': 'application/json',
    'Content-Length': String(Buffer.byteLength(body)),
    Connection: 'close',
    ...(retryAfter !== undefined && { 'Retry-After': String(retryAfter) }),
    ...(error.status === 426 && { 'Sec-WebSocket-Protocol': protocolName, Upgrade: 'websocket' }),
  }).map(([name, value]) => `${name}: ${value}\r\n`)
  const status = `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status] ?? ''}\r\n`
  socket.end(`${status}${headers.join('')}\r\n${body}`, () => socket.destroy())
}
