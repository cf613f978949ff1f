/** One attempt to be connected: a WebSocket to the gateway and the session on it. */
import type { IncomingMessage } from 'node:http'
import { WebSocket } from 'ws'
import type { Log } from '../../shared/log.ts'
import { BackendSession } from '../../shared/tunnel/backend-session.ts'
import {
  connectionState,
  reportConnection,
  type ConnectionReport,
} from '../../shared/tunnel/connection-report.ts'
import type { Goaway, Status } from '../../shared/tunnel/control-message.ts'
import type { TunnelHandler } from '../../shared/tunnel/exchange.ts'
import { protocolName } from '../../shared/tunnel/handshake.ts'
import { limits, type Timing } from '../../shared/tunnel/limits.ts'
import type { Hello } from '../../shared/tunnel/hello.ts'
import { feedSession, socketTransport } from '../../shared/tunnel/socket-transport.ts'
import type { TrafficTotals } from '../../shared/tunnel/traffic-totals.ts'
import type { CountDelivery } from './count-delivery.ts'
import type { Renewal, TunnelLogin } from './login.ts'
import type { ProxyAgent, ProxyRoute } from './proxy.ts'
import { refusalReason } from './refusal.ts'
import { retryAfterMs, type Ended } from './retry.ts'

export type ConnectionOptions = {
  readonly url: URL
  readonly login: TunnelLogin
  /** Those of the login, for this attempt. */
  readonly loginHeaders: Readonly<Record<string, string>>
  /** The way to the gateway, where it is not the direct one. */
  readonly proxy: ProxyRoute | null
  readonly hello: Hello
  readonly handler: TunnelHandler
  readonly log: Log
  readonly timing: Timing
  readonly onWelcome: () => void
  /** The gateway opens nothing more here, and wants another connection. */
  readonly onGoaway: (goaway: Goaway) => void
  /** How busy this backend is. */
  readonly status?: () => Status
  /** Counts what goes through. */
  readonly traffic?: TrafficTotals
  /** Where final counts are kept until the gateway has them. */
  readonly counts?: CountDelivery
}

const tooLate = 'the handshake has timed out'

export class Connection {
  /** Resolves when the attempt or the connection is over. */
  readonly ended: Promise<Ended>
  readonly #ended = Promise.withResolvers<Ended>()
  readonly #options: ConnectionOptions
  readonly #socket: WebSocket
  readonly #agent: ProxyAgent | undefined
  #session: BackendSession | undefined
  #lastError = ''
  #upSinceMs: number | undefined
  #connectedAtMs: number | undefined
  #renewal: NodeJS.Timeout | undefined

  constructor(options: ConnectionOptions) {
    this.ended = this.#ended.promise
    this.#options = options
    const agent = options.proxy?.newAgent()
    this.#agent = agent
    this.#socket = new WebSocket(options.url, [protocolName], {
      headers: options.loginHeaders,
      ...(agent && { agent }),
      // Token streams are small and many: compression costs memory and delay.
      perMessageDeflate: false,
      maxPayload: limits.messageBytes,
      handshakeTimeout: options.timing.handshakeMs,
    })
    const late = setTimeout(() => agent?.abandon(tooLate), options.timing.handshakeMs)
    this.#socket.on('upgrade', () => clearTimeout(late))
    this.#socket.on('open', () => this.#onOpen())
    this.#socket.on('error', (error) => {
      // 'close' follows, and tells.
      this.#lastError = options.proxy?.explain(error) ?? error.message
    })
    this.#socket.on('unexpected-response', (_request, response) => {
      void this.#onRefused(response)
    })
    this.#socket.on('close', () => {
      clearTimeout(late)
      if (!this.#session) this.#ended.resolve({ kind: 'unreachable', reason: this.#lastError })
    })
  }

  /** Streams that are not over yet. */
  get openStreams(): number {
    return this.#session?.openStreams ?? 0
  }

  /** Null before the gateway has let it in. */
  report(): ConnectionReport | null {
    const session = this.#session
    const connectedAtMs = this.#connectedAtMs
    if (!session || connectedAtMs === undefined) return null
    const { hello, timing } = this.#options
    const { connectionIndex, generation } = hello
    const state = connectionState(session, timing)
    return reportConnection(session, { connectionIndex, generation, state, connectedAtMs })
  }

  /**
   * Lets running streams finish for up to `graceMs`, then cuts them and closes. Called again, the shorter
   * grace holds.
   */
  async close(graceMs: number): Promise<void> {
    const session = this.#session
    if (session) await session.drain(graceMs)
    else this.#giveUp()
    await this.ended
  }

  #giveUp(): void {
    this.#agent?.abandon('given up')
    this.#socket.terminate()
  }

  async #onRefused(response: IncomingMessage): Promise<void> {
    const retryAfter = retryAfterMs(response.headers['retry-after'], Date.now())
    const reason = await refusalReason(response, this.#options.timing.handshakeMs)
    this.#ended.resolve({
      kind: 'refused',
      status: response.statusCode ?? 0,
      ...(reason !== undefined && { reason }),
      ...(retryAfter !== undefined && { retryAfterMs: retryAfter }),
    })
    this.#socket.terminate()
  }

  #onOpen(): void {
    const { url, hello, handler, log, timing, login } = this.#options
    const { counts, traffic, status, onGoaway } = this.#options
    const prove = login.prove
    const session: BackendSession = new BackendSession(socketTransport(this.#socket), {
      hello,
      handler,
      log,
      timing,
      onGoaway,
      ...(status && { status }),
      ...(prove && { prove: (nonce: Uint8Array) => prove(nonce, hello.instanceId) }),
      onWelcome: () => {
        this.#upSinceMs = performance.now()
        this.#connectedAtMs = Date.now()
        traffic?.connected(url.host, session)
        if (login.renewal) this.#renew(session, login.renewal)
        counts?.welcomed(session)
        this.#options.onWelcome()
      },
      beforeEnd: (counted) => counts?.counted(session, counted),
      onUsageAck: (requestIds) => counts?.acknowledged(session, requestIds),
    })
    this.#session = session
    feedSession(this.#socket, session)
    void session.closed.then(({ code, reason }) => {
      clearInterval(this.#renewal)
      const upMs = this.#upSinceMs === undefined ? 0 : performance.now() - this.#upSinceMs
      this.#ended.resolve({ kind: 'closed', code, reason: reason || this.#lastError, upMs })
    })
  }

  /** A token that cannot be made is tried again with the next: the one before has as long to live. */
  #renew(session: BackendSession, { everyMs, token }: Renewal): void {
    this.#renewal = setInterval(() => {
      token().then(
        (fresh) => session.sendAuth(fresh),
        (error: unknown) =>
          this.#options.log.error('cannot make a backend token', { error: String(error) }),
      )
    }, everyMs)
  }
}
