/** One attempt to be connected: a WebSocket to the gateway and the session on it. */
import { WebSocket } from 'ws'
import type { Log } from '../../shared/log.ts'
import { BackendSession } from '../../shared/tunnel/backend-session.ts'
import type { TunnelHandler } from '../../shared/tunnel/exchange.ts'
import { protocolName } from '../../shared/tunnel/handshake.ts'
import { limits, type Timing } from '../../shared/tunnel/limits.ts'
import type { Hello } from '../../shared/tunnel/hello.ts'
import { feedSession, socketTransport } from '../../shared/tunnel/socket-transport.ts'
import { retryAfterMs, type Ended } from './retry.ts'

export type ConnectionOptions = {
  readonly url: URL
  readonly token: string
  readonly hello: Hello
  readonly handler: TunnelHandler
  readonly log: Log
  readonly timing: Timing
  readonly onWelcome: () => void
}

export class Connection {
  /** Resolves when the attempt or the connection is over. */
  readonly ended: Promise<Ended>
  readonly #ended = Promise.withResolvers<Ended>()
  readonly #options: ConnectionOptions
  readonly #socket: WebSocket
  #session: BackendSession | undefined
  #lastError = ''
  #upSinceMs: number | undefined

  constructor(options: ConnectionOptions) {
    this.ended = this.#ended.promise
    this.#options = options
    this.#socket = new WebSocket(options.url, [protocolName], {
      headers: { authorization: `Bearer ${options.token}` },
      // Token streams are small and many: compression costs memory and delay.
      perMessageDeflate: false,
      maxPayload: limits.messageBytes,
      handshakeTimeout: options.timing.handshakeMs,
    })
    this.#socket.on('open', () => this.#onOpen())
    this.#socket.on('error', (error) => {
      // 'close' follows, and tells.
      this.#lastError = error.message
    })
    this.#socket.on('unexpected-response', (_request, response) => {
      const retryAfter = retryAfterMs(response.headers['retry-after'], Date.now())
      this.#ended.resolve({
        kind: 'refused',
        status: response.statusCode ?? 0,
        ...(retryAfter !== undefined && { retryAfterMs: retryAfter }),
      })
      this.#socket.terminate()
    })
    this.#socket.on('close', () => {
      if (!this.#session) this.#ended.resolve({ kind: 'unreachable', reason: this.#lastError })
    })
  }

  /** Lets running streams finish for up to `graceMs`, then closes. */
  async close(graceMs: number): Promise<void> {
    if (this.#session) await this.#session.drain(graceMs)
    else this.#socket.terminate()
    await this.ended
  }

  #onOpen(): void {
    const { hello, handler, log, timing } = this.#options
    const session = new BackendSession(socketTransport(this.#socket), {
      hello,
      handler,
      log,
      timing,
      onWelcome: () => {
        this.#upSinceMs = performance.now()
        this.#options.onWelcome()
      },
    })
    this.#session = session
    feedSession(this.#socket, session)
    void session.closed.then(({ code, reason }) => {
      const upMs = this.#upSinceMs === undefined ? 0 : performance.now() - this.#upSinceMs
      this.#ended.resolve({ kind: 'closed', code, reason: reason || this.#lastError, upMs })
    })
  }
}
