/** Who is connected, and what they serve. One connection per backend: the newest wins. */
import type { Log } from '../../shared/log.ts'
import { closeCodes } from '../../shared/tunnel/error.ts'
import type { Exchange, OpenRequest } from '../../shared/tunnel/exchange.ts'
import { GatewaySession, type GatewaySessionOptions } from '../../shared/tunnel/gateway-session.ts'
import type { Timing } from '../../shared/tunnel/limits.ts'
import type { Hello } from '../../shared/tunnel/hello.ts'
import type { SessionSnapshot } from '../../shared/tunnel/session-snapshot.ts'
import type { Transport } from '../../shared/tunnel/transport.ts'

/** Who a backend token belongs to. */
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
}

export type RegistryOptions = {
  readonly log: Log
  readonly timing?: Timing
  /** Wall clock, ms since 1970. */
  readonly now?: () => number
  /** What the runtime asks of all sessions. */
  readonly session?: Pick<
    GatewaySessionOptions,
    | 'maxStreams'
    | 'windowBytes'
    | 'connectionWindowBytes'
    | 'pings'
    | 'watchIdle'
    | 'answersTextPing'
  >
  /** The last stream of a session is over: the time to keep its snapshot. */
  readonly onIdle?: (session: GatewaySession) => void
}

type Connection = {
  readonly identity: BackendIdentity
  readonly session: GatewaySession
}

class Backend implements ConnectedBackend {
  readonly backendId: string
  readonly name: string
  readonly hello: Hello
  readonly connectedAtMs: number
  readonly session: GatewaySession

  constructor({ identity, session }: Connection, hello: Hello, connectedAtMs: number) {
    this.backendId = identity.backendId
    this.name = identity.name
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
}

export class BackendRegistry {
  readonly #options: RegistryOptions
  readonly #joining = new Map<string, Connection>() // by backend id; no HELLO yet
  readonly #backends = new Map<string, Backend>() // by backend id
  #isClosed = false

  constructor(options: RegistryOptions) {
    this.#options = options
  }

  /** A session for a backend whose token was accepted; it takes requests once it has said HELLO. */
  connect(identity: BackendIdentity, transport: Transport): GatewaySession {
    const connection = this.#connection(identity, transport)
    const { session } = connection
    if (this.#isClosed) {
      session.close(closeCodes.GOING_AWAY, 'the gateway stops')
      return session
    }
    // At most one handshake per backend: an unfinished one gives way.
    this.#joining.get(identity.backendId)?.session.close(closeCodes.GOING_AWAY, 'dialled again')
    this.#joining.set(identity.backendId, connection)
    return session
  }

  /** Goes on with a connection whose session slept (see `GatewaySession.snapshot`). */
  resume(
    identity: BackendIdentity,
    transport: Transport,
    { snapshot, connectedAtMs }: { snapshot: SessionSnapshot; connectedAtMs: number },
  ): GatewaySession {
    const connection = this.#connection(identity, transport, snapshot)
    const { backendId } = identity
    this.#backends.set(backendId, new Backend(connection, snapshot.hello, connectedAtMs))
    return connection.session
  }

  #connection(
    identity: BackendIdentity,
    transport: Transport,
    resume?: SessionSnapshot,
  ): Connection {
    const { log, timing, session: common, onIdle } = this.#options
    const session: GatewaySession = new GatewaySession(transport, {
      ...common,
      sessionId: resume?.sessionId ?? crypto.randomUUID(),
      log,
      ...(timing && { timing }),
      ...(resume && { resume }),
      onHello: () => {},
      onReady: (hello) => this.#onHello(connection, hello),
      onIdle: () => onIdle?.(session),
    })
    const connection: Connection = { identity, session }
    void session.closed.then(({ code, reason }) => this.#onClosed(connection, code, reason))
    return connection
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
    for (const { session } of [...this.#joining.values(), ...this.#backends.values()]) {
      session.close(closeCodes.GOING_AWAY, 'the gateway stops')
    }
  }

  #onHello(connection: Connection, hello: Hello): void {
    const { log, now = Date.now } = this.#options
    const { identity, session } = connection
    if (this.#joining.get(identity.backendId) === connection) {
      this.#joining.delete(identity.backendId)
    }
    const old = this.#backends.get(identity.backendId)
    if (old?.hello.instanceId === hello.instanceId && old.hello.generation >= hello.generation) {
      session.close(closeCodes.REPLACED, 'a newer connection of this backend is there')
      return
    }
    this.#backends.set(identity.backendId, new Backend(connection, hello, now()))
    log.info('backend connected', { backend: identity.name, models: hello.models.join(',') })
    old?.session.close(closeCodes.REPLACED, 'a newer connection of this backend has come')
  }

  #onClosed({ identity, session }: Connection, code: number, reason: string): void {
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
