/**
 * Takes a backend's WebSocket on Node: checks the upgrade request and the token first, and has
 * nothing allocated for a stranger.
 */
import { STATUS_CODES, type IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import { backendHeader, isBackendName } from '../../shared/auth/tunnel-key.ts'
import { ApiError } from '../../shared/errors.ts'
import type { Log } from '../../shared/log.ts'
import { errorBody } from '../../shared/openai/error.ts'
import { protocolName, tunnelPath } from '../../shared/tunnel/handshake.ts'
import { defaultTiming, limits, type Timing } from '../../shared/tunnel/limits.ts'
import { feedSession, socketTransport } from '../../shared/tunnel/socket-transport.ts'
import type { BackendLogin, Grant } from '../auth/backend-login.ts'
import { LoginRefused } from '../auth/login-refused.ts'
import { ClientAddresses } from '../client-address.ts'
import { errorFields } from '../error-fields.ts'
import { AttemptLimit } from './attempt-limit.ts'
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
    if (!offersProtocol(request)) {
      refuse(socket, new ApiError(426, `This gateway speaks ${protocolName}.`), {
        'Sec-WebSocket-Protocol': protocolName,
        Upgrade: 'websocket',
      })
      return
    }
    const address = this.#addresses.of(request)
    const waitMs = address === null ? 0 : this.#attempts.waitMs(address)
    const failed = () => address !== null && this.#attempts.failed(address)
    const admission = waitMs > 0 ? tooOften(waitMs) : await this.#admit(request, failed)
    if (admission instanceof ApiError) {
      if (admission.status === 401) failed()
      refuse(socket, admission)
    } else if (!socket.destroyed) {
      this.#upgrade(request, socket, head, admission)
    }
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, admission: Admitted): void {
    const { registry, log } = this.#options
    this.#sockets.handleUpgrade(request, socket, head, (webSocket) => {
      const session = registry.connect(admission.identity, socketTransport(webSocket), admission)
      admission.watch(session)
      webSocket.on('error', (error) => {
        const backend = admission.identity?.name
        log.warn('tunnel socket failed', { backend, error: error.message })
      })
      feedSession(webSocket, session)
    })
  }

  async #admit(request: IncomingMessage, onRefused: () => void): Promise<Admitted | ApiError> {
    const { login, log, now = Date.now } = this.#options
    const { authorization, [backendHeader]: backendName } = request.headers
    if (authorization === undefined && typeof backendName === 'string') {
      if (!login.hasTunnelKey) return unauthorized(noTunnelKey)
      if (!isBackendName(backendName)) return unauthorized(badName)
      return new TunnelKeyAdmission({ login, log, backendName, onRefused })
    }
    const token = /^Bearer (\S+)$/i.exec(authorization ?? '')?.[1]
    if (token === undefined) return unauthorized(noToken)
    const grant = await this.#check(token)
    return grant instanceof ApiError ? grant : new TokenAdmission(grant, { login, log, now })
  }

  async #check(token: string): Promise<Grant | ApiError> {
    if (this.#numPending >= maxPending) return tooMany
    this.#numPending++
    try {
      return await this.#checkInTime(token)
    } catch (error) {
      if (error instanceof LoginRefused) return unauthorized(error.message)
      this.#options.log.error('backend token could not be checked', errorFields(error))
      return notNow
    } finally {
      this.#numPending--
    }
  }

  /** @throws when the check fails or takes longer than a handshake may */
  async #checkInTime(token: string): Promise<Grant> {
    const { login, timing = defaultTiming } = this.#options
    const late = Promise.withResolvers<never>()
    const timer = setTimeout(() => late.reject(new Error('timed out')), timing.handshakeMs)
    try {
      return await Promise.race([login.withToken(token), late.promise])
    } finally {
      clearTimeout(timer)
    }
  }
}

const unauthorized = (message: string) =>
  new ApiError(401, message, { code: 'invalid_backend_token' })

const noToken = 'A backend must present its token.'
const noTunnelKey = 'This gateway has no tunnel key: enroll the backend here, or set its key.'
const badName = 'The name of a backend has 1 to 64 letters, digits, dots, hyphens and underscores.'

const tooOften = (waitMs: number): ApiError =>
  new ApiError(429, 'Too many failed attempts to connect. Try again later.', {
    type: 'rate_limit_error',
    retryAfterSeconds: Math.ceil(waitMs / 1000),
  })

const unavailable = (message: string) =>
  new ApiError(503, message, { type: 'service_unavailable_error', retryAfterSeconds: 1 })

const tooMany = unavailable('Too many backends are connecting at once. Try again in a moment.')

const notNow = unavailable('The backend token cannot be checked at the moment. Try again later.')

const offersProtocol = (request: IncomingMessage): boolean =>
  (request.headers['sec-websocket-protocol'] ?? '')
    .split(',')
    .some((name) => name.trim() === protocolName)

/** Answers an upgrade request without upgrading it. */
const refuse = (
  socket: Duplex,
  error: ApiError,
  extraHeaders: Readonly<Record<string, string>> = {},
): void => {
  const body = JSON.stringify(errorBody(error))
  const retryAfter = error.retryAfterSeconds
  const headers = Object.entries({
    'Content-Type': 'application/json',
    'Content-Length': String(Buffer.byteLength(body)),
    Connection: 'close',
    ...(retryAfter !== undefined && { 'Retry-After': String(retryAfter) }),
    ...extraHeaders,
  }).map(([name, value]) => `${name}: ${value}\r\n`)
  const status = `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status] ?? ''}\r\n`
  socket.end(`${status}${headers.join('')}\r\n${body}`, () => socket.destroy())
}
