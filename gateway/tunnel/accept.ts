/**
 * Takes a backend's WebSocket on Node: checks the upgrade request and the token first, and has
 * nothing allocated for a stranger.
 */
import { STATUS_CODES, type IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import { ApiError } from '../../shared/errors.ts'
import type { Log } from '../../shared/log.ts'
import { errorBody } from '../../shared/openai/error.ts'
import { protocolName, tunnelPath } from '../../shared/tunnel/handshake.ts'
import { defaultTiming, limits, type Timing } from '../../shared/tunnel/limits.ts'
import { feedSession, socketTransport } from '../../shared/tunnel/socket-transport.ts'
import { errorFields } from '../error-fields.ts'
import type { BackendIdentity } from './backend-connection.ts'
import type { BackendRegistry } from './registry.ts'

export type TunnelAcceptorOptions = {
  readonly registry: BackendRegistry
  /** Whose token this is; null when nobody's. */
  readonly authenticate: (token: string) => Promise<BackendIdentity | null>
  readonly log: Log
  readonly timing?: Timing
}

/** Upgrade requests whose tokens are being looked up at once: a storm of dials waits outside. */
const maxPending = 64

/** Longer ones are nobody's: no look-up for them. */
const maxTokenChars = 512

export class TunnelAcceptor {
  readonly #options: TunnelAcceptorOptions
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
    const identity = await this.#identify(request)
    if (identity instanceof ApiError) {
      refuse(socket, identity)
    } else if (!socket.destroyed) {
      this.#sockets.handleUpgrade(request, socket, head, (webSocket) => {
        const transport = socketTransport(webSocket)
        const session = this.#options.registry.connect(identity, transport)
        webSocket.on('error', (error) => {
          this.#options.log.warn('tunnel socket failed', {
            backend: identity.name,
            error: error.message,
          })
        })
        feedSession(webSocket, session)
      })
    }
  }

  async #identify(request: IncomingMessage): Promise<BackendIdentity | ApiError> {
    const token = /^Bearer (\S+)$/i.exec(request.headers.authorization ?? '')?.[1]
    if (token === undefined || token.length > maxTokenChars) return unknownToken
    if (this.#numPending >= maxPending) return tooMany
    this.#numPending++
    try {
      return (await this.#lookUp(token)) ?? unknownToken
    } catch (error) {
      this.#options.log.error('backend token could not be checked', errorFields(error))
      return notNow
    } finally {
      this.#numPending--
    }
  }

  /** @throws when the look-up fails or takes longer than a handshake may */
  async #lookUp(token: string): Promise<BackendIdentity | null> {
    const { authenticate, timing = defaultTiming } = this.#options
    const late = Promise.withResolvers<never>()
    const timer = setTimeout(() => late.reject(new Error('timed out')), timing.handshakeMs)
    try {
      return await Promise.race([authenticate(token), late.promise])
    } finally {
      clearTimeout(timer)
    }
  }
}

const unknownToken = new ApiError(401, 'This gateway does not know this backend token.', {
  code: 'invalid_backend_token',
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
