/** Who is connected, and what they serve. One connection per backend: the newest wins. */
import type { Log } from '../../shared/log.ts'
import { closeCodes } from '../../shared/tunnel/error.ts'
import type { Exchange, OpenRequest } from '../../shared/tunnel/exchange.ts'
import type { Refusal } from '../../shared/tunnel/gateway-handshake.ts'
import { GatewaySession } from '../../shared/tunnel/gateway-session.ts'
import type { Timing } from '../../shared/tunnel/limits.ts'
import type { Hello } from '../../shared/tunnel/hello.ts'
import type { UsageReport } from '../../shared/tunnel/usage-message.ts'
import type { Transport } from '../../shared/tunnel/transport.ts'
import { isRefusal, type Admission } from './admission.ts'
import { Strangers } from './strangers.ts'

/** Who a backend is. */
export type BackendIdentity = {
  readonly backendId: string
  /** The operator's name for it, for logs and dashboards. */
  readonly name: string
}

/** A backend that takes requests. */
export interface ConnectedBackend extends BackendIdentity {
  readonly models: readonly string[]
  readonly connectedAtMs: number
  readonly openStreams: number
  /** See `GatewaySession.open`. */
  open(request: OpenRequest): Exchange
  /** Final counts of its requests are in the books. */
  acknowledgeUsage(requestIds: readonly string[]): void
}

export type RegistryOptions = {
  /**
   * Enters a final count that comes from a backend's journal.
   * @returns whether the backend may forget it
   */
  readonly settleLateUsage?: (backendId: string, report: UsageReport) => Promise<boolean>
  readonly log: Log
  readonly timing?: Timing
  /** Wall clock, ms since 1970. */
  readonly now?: () => number
}

type Connection = {
  /** Null as long as it has not proved the tunnel key. */
  identity: BackendIdentity | null
  readonly session: GatewaySession
}

class Backend implements ConnectedBackend {
  readonly backendId: string
  readonly name: string
  readonly hello: Hello
  readonly connectedAtMs: number
  readonly session: GatewaySession

  constructor(
    { backendId, name }: BackendIdentity,
    session: GatewaySession,
    hello: Hello,
    connectedAtMs: number,
  ) {
    this.backendId = backendId
    this.name = name
    this.hello = hello
    this.connectedAtMs = connectedAtMs
    this.session = session
  }

  get models(): readonly string[] {
    return this.hello.models
  }

  get openStreams(): number {
    return this.session.openStreams
  }

  open(request: OpenRequest): Exchange {
    return this.session.open(request)
  }

  acknowledgeUsage(requestIds: readonly string[]): void {
    this.session.acknowledgeUsage(requestIds)
  }
}

export class BackendRegistry {
  readonly #options: RegistryOptions
  readonly #strangers = new Strangers()
  readonly #joining = new Map<string, Connection>() // by backend id; no HELLO yet
  readonly #backends = new Map<string, Backend>() // by backend id
  #isClosed = false

  constructor(options: RegistryOptions) {
    this.#options = options
  }

  /**
   * A session for a backend; it takes requests once it has said HELLO. Without an `identity`, for a
   * stranger, whom `admission` then names.
   */
  connect(
    identity: BackendIdentity | null,
    transport: Transport,
    admission?: Admission,
  ): GatewaySession {
    const { log, timing } = this.#options
    const session: GatewaySession = new GatewaySession(transport, {
      sessionId: crypto.randomUUID(),
      log,
      ...(timing && { timing }),
      ...(admission?.challenge && { challenge: admission.challenge }),
      onHello: (hello) => admission && this.#admit(connection, admission, hello),
      onReady: (hello) => this.#onReady(connection, hello),
      onAuth: (token) => admission?.renew(token),
      onUsage: (report) => void this.#settleLate(connection, report),
    })
    const connection: Connection = { identity, session }
    if (this.#isClosed) {
      session.close(closeCodes.GOING_AWAY, 'the gateway stops')
      return session
    }
    if (identity) this.#join(connection, identity)
    else this.#strangers.add(session)
    void session.closed.then(({ code, reason }) => this.#onClosed(connection, code, reason))
    return session
  }

  /** From here on `disconnect` finds the connection. */
  #join(connection: Connection, identity: BackendIdentity): void {
    connection.identity = identity
    // At most one handshake per backend: an unfinished one gives way.
    const other = this.#joining.get(identity.backendId)
    this.#joining.set(identity.backendId, connection)
    if (other !== connection) other?.session.close(closeCodes.GOING_AWAY, 'dialled again')
  }

  async #admit(
    connection: Connection,
    admission: Admission,
    hello: Hello,
  ): Promise<Refusal | undefined> {
    const answer = await admission.admit(hello)
    if (isRefusal(answer)) return answer
    this.#strangers.delete(connection.session)
    if (!connection.identity) this.#join(connection, answer)
    // A revocation before this line found nobody to disconnect.
    return admission.confirm()
  }

  /** The backend with the fewest open streams that serves the model; null when none does. */
  pick(model: string): ConnectedBackend | null {
    let best: Backend | null = null
    for (const backend of this.#backends.values()) {
      if (backend.models.includes(model) && (!best || isBetter(backend, best))) best = backend
    }
    return best
  }

  /** Served model names of all connected backends, each once, sorted. */
  models(): string[] {
    return [...new Set(this.backends().flatMap((backend) => backend.models))].sort()
  }

  backends(): ConnectedBackend[] {
    return [...this.#backends.values()]
  }

  /** Cuts a backend off, e.g. when its token was revoked. False when it was not connected. */
  disconnect(backendId: string, reason: string): boolean {
    const connections = [this.#joining.get(backendId), this.#backends.get(backendId)]
    for (const connection of connections) connection?.session.close(closeCodes.AUTH, reason)
    return connections.some(Boolean)
  }

  /** Ends all connections, and those that come later. Idempotent. */
  close(): void {
    this.#isClosed = true
    this.#strangers.close(closeCodes.GOING_AWAY, 'the gateway stops')
    for (const { session } of [...this.#joining.values(), ...this.#backends.values()]) {
      session.close(closeCodes.GOING_AWAY, 'the gateway stops')
    }
  }

  #onReady({ identity, session }: Connection, hello: Hello): void {
    const { log, now = Date.now } = this.#options
    if (!identity) return
    if (this.#joining.get(identity.backendId)?.session === session) {
      this.#joining.delete(identity.backendId)
    }
    const old = this.#backends.get(identity.backendId)
    if (old?.hello.instanceId === hello.instanceId && old.hello.generation >= hello.generation) {
      session.close(closeCodes.REPLACED, 'a newer connection of this backend is there')
      return
    }
    this.#backends.set(identity.backendId, new Backend(identity, session, hello, now()))
    log.info('backend connected', { backend: identity.name, models: hello.models.join(',') })
    old?.session.close(closeCodes.REPLACED, 'a newer connection of this backend has come')
  }

  async #settleLate({ identity, session }: Connection, report: UsageReport): Promise<void> {
    if (!identity) return
    const isSettled = await this.#options.settleLateUsage?.(identity.backendId, report)
    if (isSettled) session.acknowledgeUsage([report.requestId])
  }

  #onClosed({ identity, session }: Connection, code: number, reason: string): void {
    if (!identity) return
    const { backendId, name } = identity
    if (this.#joining.get(backendId)?.session === session) this.#joining.delete(backendId)
    if (this.#backends.get(backendId)?.session !== session) return
    this.#backends.delete(backendId)
    this.#options.log.info('backend disconnected', { backend: name, code, reason })
  }
}

/** Room first, then the fewer open streams. */
const isBetter = (a: Backend, b: Backend): boolean =>
  a.session.hasRoom === b.session.hasRoom ? a.openStreams < b.openStreams : a.session.hasRoom
