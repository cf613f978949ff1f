/**
 * Who is connected, what they serve, and which connection a request goes to. Knows no runtime: the
 * transports, the clocks and the identities come from outside.
 */
import type { Log } from '../../shared/log.ts'
import type { PeerReport } from '../../shared/tunnel/connection-report.ts'
import type { Goaway, Status } from '../../shared/tunnel/control-message.ts'
import { closeCodes } from '../../shared/tunnel/error.ts'
import { GatewaySession } from '../../shared/tunnel/gateway-session.ts'
import type { GatewaySessionOptions } from '../../shared/tunnel/gateway-session-options.ts'
import type { Refusal } from '../../shared/tunnel/gateway-handshake.ts'
import type { Hello } from '../../shared/tunnel/hello.ts'
import { defaultTiming, type Timing } from '../../shared/tunnel/limits.ts'
import type { SessionSnapshot } from '../../shared/tunnel/session-snapshot.ts'
import { TrafficTotals } from '../../shared/tunnel/traffic-totals.ts'
import type { Transport } from '../../shared/tunnel/transport.ts'
import { tunnelMetrics } from '../../shared/tunnel/tunnel-metrics.ts'
import type { UsageReport } from '../../shared/tunnel/usage-message.ts'
import { isRefusal, type Admission } from './admission.ts'
import { BackendConnection, type BackendIdentity } from './backend-connection.ts'
import { chooseBackend, type Candidate } from './choose-backend.ts'
import { FlapGuards } from './flap-guards.ts'
import { Handshakes } from './handshakes.ts'
import { PrefixAffinity } from './prefix-affinity.ts'
import { RegisteredBackend, type Wanted } from './registered-backend.ts'
import type { PickOptions, Router } from './router.ts'

export type RegistryOptions = {
  readonly log: Log
  readonly timing?: Timing
  /** Wall clock, ms since 1970. */
  readonly now?: () => number
  /** Monotonic clock, ms. */
  readonly monotonicNow?: () => number
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
  /**
   * Enters a final count that comes from a backend's journal.
   * @returns whether the backend may forget it
   */
  readonly settleLateUsage?: (backendId: string, report: UsageReport) => Promise<boolean>
  /** See `GatewaySessionOptions.onIdle`. */
  readonly onIdle?: (session: GatewaySession) => void
}

/** What a runtime that sleeps has kept of a connection. */
export type SleptConnection = {
  readonly sessionId: string
  readonly connectedAtMs: number
  readonly snapshot: SessionSnapshot
}

/** Whoever has dialled. */
type Comer = {
  /** Null as long as it has not proved the tunnel key. */
  identity: BackendIdentity | null
  readonly transport: Transport
  readonly admission: Admission | undefined
}

type Choice = Candidate & {
  readonly backend: RegisteredBackend
  readonly connection: BackendConnection
}

/** Closes that say nothing of the network or the backend's health. */
const deliberate: readonly number[] = [closeCodes.NORMAL, closeCodes.AUTH, closeCodes.REPLACED]

export class BackendRegistry implements Router {
  readonly #options: RegistryOptions
  readonly #timing: Timing
  readonly #monotonicNow: () => number
  readonly #handshakes = new Handshakes()
  readonly #backends = new Map<string, RegisteredBackend>() // by backend id
  /** Of drained backends that are gone: the network's whims put nobody back into service. By backend id. */
  readonly #drainedInstances = new Map<string, string>()
  readonly #flapGuards = new FlapGuards()
  readonly #affinity = new PrefixAffinity()
  readonly #traffic = new TrafficTotals()
  #numChosen = 0
  #isClosed = false

  constructor(options: RegistryOptions) {
    this.#options = options
    this.#timing = options.timing ?? defaultTiming
    this.#monotonicNow = options.monotonicNow ?? (() => performance.now())
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
    const session = this.#session({ identity, transport, admission })
    if (this.#isClosed) session.close(closeCodes.GOING_AWAY, 'the gateway stops')
    else if (identity) this.#handshakes.begin(identity.backendId, session)
    else this.#handshakes.beginUnknown(session)
    return session
  }

  /** Goes on with a connection that slept. */
  resume(
    identity: BackendIdentity,
    transport: Transport,
    slept: SleptConnection,
    admission?: Admission,
  ): GatewaySession {
    const session = this.#session({ identity, transport, admission }, slept)
    const { hello, status } = slept.snapshot
    this.#register(identity, { session, transport, hello, connectedAtMs: slept.connectedAtMs })
    if (status) this.#reported(identity, session, status)
    return session
  }

  pick(model: string, options: PickOptions = {}): BackendConnection | null {
    return this.#pick(({ hello }) => hello.models.includes(model), options)
  }

  /** As `pick`, for an exposed HTTP service. */
  pickService(service: string, options: PickOptions = {}): BackendConnection | null {
    return this.#pick(({ hello }) => hello.services.includes(service), options)
  }

  serves(model: string): boolean {
    return this.backends().some(({ models }) => models.includes(model))
  }

  /** Served model names of all connected backends, each once, sorted. */
  models(): string[] {
    return [...new Set(this.backends().flatMap(({ models }) => models))].sort()
  }

  backends(): RegisteredBackend[] {
    return [...this.#backends.values()]
  }

  /** Who is connected now, and how, by name. */
  report(): PeerReport[] {
    return this.backends()
      .map((backend) => backend.report())
      .toSorted((a, b) => a.name.localeCompare(b.name))
  }

  /** In Prometheus' text format. */
  metrics(): string {
    return tunnelMetrics({
      side: 'gateway',
      peers: this.report(),
      totals: this.#traffic.totals(),
    })
  }

  /** Cuts a backend off, e.g. when its token was revoked. False when it was not connected. */
  disconnect(backendId: string, reason: string): boolean {
    const connections = this.#backends.get(backendId)?.connections ?? []
    const sessions = [
      ...this.#handshakes.sessions(backendId),
      ...connections.map(({ session }) => session),
    ]
    for (const session of sessions) session.close(closeCodes.AUTH, reason)
    return sessions.length > 0
  }

  /** Asks all backends to dial a replacement. No more requests go to the connections of now. */
  goaway(goaway: Omit<Goaway, 'lastStreamId'>): void {
    for (const { connections } of this.backends()) {
      for (const { session } of connections) if (!session.isDraining) session.goaway(goaway)
    }
  }

  /** Ends all connections, and those that come later. Idempotent. */
  close(): void {
    this.#isClosed = true
    const [code, reason] = [closeCodes.GOING_AWAY, 'the gateway stops']
    this.#handshakes.close(code, reason)
    for (const { connections } of this.backends()) {
      for (const { session } of connections) session.close(code, reason)
    }
  }

  #session(comer: Comer, slept?: SleptConnection): GatewaySession {
    const { log, session: common, now = Date.now } = this.#options
    const { transport, admission } = comer
    const session: GatewaySession = new GatewaySession(transport, {
      ...common,
      sessionId: slept?.sessionId ?? crypto.randomUUID(),
      log,
      timing: this.#timing,
      now: this.#monotonicNow,
      ...(slept && { resume: slept.snapshot }),
      ...(admission?.challenge && { challenge: admission.challenge }),
      onHello: (hello) => admission && this.#admit(comer, admission, session, hello),
      onReady: (hello) => {
        const { identity } = comer
        if (!identity) return
        this.#handshakes.end(identity.backendId, session)
        this.#register(identity, { session, transport, hello, connectedAtMs: now() })
      },
      onAuth: (token) => admission?.renew(token),
      onStatus: (status) => this.#reported(comer.identity, session, status),
      onUsage: (report) => void this.#settleLate(comer.identity, session, report),
      onGoaway: ({ message }) =>
        log.info('backend drains', { backend: comer.identity?.name, reason: message }),
      onIdle: () => this.#onIdle(comer.identity, session),
    })
    return session
  }

  async #admit(
    comer: Comer,
    admission: Admission,
    session: GatewaySession,
    hello: Hello,
  ): Promise<Refusal | undefined> {
    const answer = await admission.admit(hello)
    if (isRefusal(answer)) return answer
    comer.identity ??= answer
    this.#handshakes.begin(answer.backendId, session)
    // A revocation before this line found nobody to disconnect.
    return admission.confirm()
  }

  #register(
    identity: BackendIdentity,
    held: Pick<BackendConnection, 'session' | 'hello' | 'connectedAtMs'> & Pick<Comer, 'transport'>,
  ): void {
    const { log, session: { watchIdle = true } = {} } = this.#options
    const { backendId, name } = identity
    const backend =
      this.#backends.get(backendId) ??
      new RegisteredBackend(identity, this.#drainedInstances.get(backendId))
    const connection = new BackendConnection({
      ...held,
      identity,
      load: backend.load,
      timing: this.#timing,
      watchIdle,
      monotonicNow: this.#monotonicNow,
    })
    if (!backend.add(connection)) return
    this.#backends.set(backendId, backend)
    this.#drainedInstances.delete(backendId)
    this.#traffic.connected(name, held.session)
    const { models, connectionIndex } = held.hello
    const fields = { backend: name, connection: connectionIndex }
    log.info('backend connected', { ...fields, models: models.join(',') })
    void held.session.closed.then(({ code, reason, by }) => {
      log.info('backend disconnected', { ...fields, code, reason })
      this.#remove(backend, connection)
      const isOurs = code === closeCodes.GOING_AWAY && by === 'us'
      if (!isOurs && !connection.isDraining && !deliberate.includes(code)) this.#lost(backend)
    })
  }

  #remove(backend: RegisteredBackend, connection: BackendConnection): void {
    const { backendId } = backend
    backend.remove(connection)
    if (!backend.isGone || this.#backends.get(backendId) !== backend) return
    this.#backends.delete(backendId)
    const { drainedInstance } = backend
    if (drainedInstance !== undefined) this.#drainedInstances.set(backendId, drainedInstance)
  }

  #lost({ backendId, name }: RegisteredBackend): void {
    const now = this.#monotonicNow()
    if (this.#flapGuards.lost(backendId, now)) {
      this.#options.log.warn('backend comes and goes: others are preferred', { backend: name })
    }
  }

  #reported(identity: BackendIdentity | null, session: GatewaySession, status: Status): void {
    const backend = identity && this.#backends.get(identity.backendId)
    backend?.load.reported(status, this.#monotonicNow(), session.roundTripMs)
  }

  async #settleLate(
    identity: BackendIdentity | null,
    session: GatewaySession,
    report: UsageReport,
  ): Promise<void> {
    if (!identity) return
    const isSettled = await this.#options.settleLateUsage?.(identity.backendId, report)
    if (isSettled) session.acknowledgeUsage([report.requestId])
  }

  #onIdle(identity: BackendIdentity | null, session: GatewaySession): void {
    const backend = identity && this.#backends.get(identity.backendId)
    const connection = backend?.connections.find((held) => held.session === session)
    if (connection) backend?.idle(connection)
    this.#options.onIdle?.(session)
  }

  #pick(isWanted: Wanted, { prefixes, tried }: PickOptions): BackendConnection | null {
    const now = this.#monotonicNow()
    const isFresh: Wanted = (connection) => isWanted(connection) && !tried?.has(connection)
    const all = this.backends().flatMap((backend) => this.#choice(backend, isFresh, now))
    // Another connection of a backend that has refused is only better than nothing.
    const triedIds = new Set([...(tried ?? [])].map(({ backendId }) => backendId))
    const others = all.filter(({ backendId }) => !triedIds.has(backendId))
    const choices = others.length > 0 ? others : all
    const hashes = choices.length > 1 ? (prefixes?.() ?? []) : []
    const ids = choices.map(({ backendId }) => backendId)
    const chosen = chooseBackend(choices, this.#affinity.favourites(hashes, ids))
    if (!chosen) return null
    this.#affinity.sent(hashes, chosen.backendId)
    chosen.backend.lastChosen = ++this.#numChosen
    return chosen.connection
  }

  #choice(backend: RegisteredBackend, isWanted: Wanted, now: number): Choice[] {
    const connection = backend.pick(isWanted)
    if (!connection) return []
    const { backendId, load, openStreams, lastChosen } = backend
    const isFlapping = this.#flapGuards.isFlapping(backendId, now)
    const isDoubtful = isFlapping || connection.isDoubtful || load.tokens === Infinity
    return [
      { backend, connection, backendId, load: load.tokens, openStreams, lastChosen, isDoubtful },
    ]
  }
}
